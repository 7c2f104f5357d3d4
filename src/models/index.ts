/** Every network that can be built, by the kind of its configuration: its graphs, and how inputs become outputs under the reference's names. */

import type {
  KlConfig,
  NetworkConfig,
  NetworkConfigOf,
  NetworkKind,
  UNetConfig,
  VqConfig,
} from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NamedValue } from '../graph/graph.ts';
import type { Extension } from '../extensions/extension.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { traceKlDecode, traceKlEncode, traceKlSample } from './autoencoder-kl.ts';
import { traceVqCodes, traceVqDecode, traceVqEncode, traceVqQuantize } from './autoencoder-vq.ts';
import { traceBertEmbedder } from './bert-embedder.ts';
import { traceClassEmbedder } from './class-embedder.ts';
import { traceClipImageEmbedder, traceClipTextEmbedder } from './clip-embedders.ts';
import { traceClipText } from './clip-text.ts';
import { traceClipVision } from './clip-vision.ts';
import { traceControlNet } from './control-net.ts';
import { traceDdpmUNet } from './ddpm-unet.ts';
import { traceDptHybrid } from './dpt-hybrid.ts';
import { traceDiscriminator, traceDiscriminatorTraining } from './discriminator.ts';
import { traceEncoderUNet } from './encoder-unet.ts';
import { traceGligen } from './gligen.ts';
import { traceIfUNet } from './if-unet.ts';
import { traceIpAdapter } from './ip-adapter.ts';
import { traceLpips } from './lpips.ts';
import {
  atMost,
  type GivenInputs,
  givenShape,
  type NetworkDefinition,
  type PlanStep,
  singleGraph,
} from './network-plan.ts';
import { traceLucidUNet } from './lucid-unet.ts';
import { traceOpenAiClipImage, traceOpenAiClipLogits, traceOpenAiClipText } from './openai-clip.ts';
import { aboveThreshold, blackOut, judgeSafety } from './safety-verdict.ts';
import { traceIfSafetyChecker } from './if-safety-checker.ts';
import { traceSafetyChecker } from './safety-checker.ts';
import { traceSpatialRescaler } from './spatial-rescaler.ts';
import { traceT2IAdapter } from './t2i-adapter.ts';
import { traceT2IStyle } from './t2i-style.ts';
import { traceT5Encoder } from './t5-encoder.ts';
import { traceTaesdDecode, traceTaesdEncode } from './taesd.ts';
import type { NetworkTraceOptions } from './trace-network.ts';
import { traceUNet } from './unet.ts';

export { admClassifier, type AdmFlags, admFlags, admUNet } from '../config/adm-flags.ts';
export { logSoftmax, traceClassifierGuide } from './classifier-guide.ts';
export { traceUNet } from './unet.ts';

/** One run for each context: `context` gives `out`, `context.NAME` gives `out.context.NAME`. */
function planUNet(config: UNetConfig, given: GivenInputs): readonly PlanStep[] {
  const step = {
    part: 'forward',
    trace: unet.parts(config)['forward'] ?? ((options) => traceUNet(config, options)),
  } satisfies Partial<PlanStep>;
  const inputs: Record<string, string> = { x: 'x', timesteps: 'timesteps' };
  if (config.num_classes !== null || config.adm_in_channels !== null) inputs['y'] = 'y';
  if (!Object.values(inputs).every((name) => given.has(name))) return [];
  if (!config.use_spatial_transformer) return [{ ...step, inputs }];
  const contexts = [...given.keys()].filter((name) => name === 'context' || name.startsWith('context.')).sort();
  return contexts.map((name) => ({
    ...step,
    inputs: { ...inputs, context: name },
    outputs: { out: name === 'context' ? 'out' : `out.${name}` },
  }));
}

const unet: NetworkDefinition<UNetConfig> = {
  inputs: ['x', 'timesteps', 'context', 'y'],
  parts: (config) => ({ forward: (options) => traceUNet(config, options) }),
  plan: planUNet,
};

/** Encoding of `image`, its posterior's sample with `noise` (else its mean) decoded; `z` decoded as `decoded.z`. */
const kl: NetworkDefinition<KlConfig> = {
  inputs: ['image', 'noise', 'z'],
  parts: (config) => ({
    encode: (options) => traceKlEncode(config, options),
    sample: (options) => traceKlSample(config, options),
    decode: (options) => traceKlDecode(config, options),
  }),
  plan: (config, given) => {
    const steps: PlanStep[] = [];
    const decode = { part: 'decode', trace: (options) => traceKlDecode(config, options) } satisfies Partial<PlanStep>;
    if (given.has('image')) {
      steps.push({ part: 'encode', trace: (options) => traceKlEncode(config, options), inputs: { image: 'image' } });
      if (given.has('noise'))
        steps.push({
          part: 'sample',
          trace: (options) => traceKlSample(config, options),
          inputs: { mean: 'mean', logvar: 'logvar', noise: 'noise' },
        });
      steps.push({ ...decode, inputs: { z: given.has('noise') ? 'sample' : 'mean' } });
    }
    if (given.has('z')) steps.push({ ...decode, inputs: { z: 'z' }, outputs: { decoded: 'decoded.z' } });
    return steps;
  },
};

/** Shape [b, h, w] of codes that may be flat: that of their latents. */
function codesShape(config: VqConfig, given: GivenInputs): readonly number[] {
  const shape = given.get('codes')?.shape ?? [];
  if (shape.length === 3) return shape;
  if (given.has('z')) {
    const [b = 1, , h = 1, w = 1] = givenShape(given, 'z', 4);
    return [b, h, w];
  }
  const factor = 2 ** (config.ddconfig.ch_mult.length - 1);
  const [b = 1, , h = 1, w = 1] = givenShape(given, 'image', 4);
  return [b, Math.floor(h / factor), Math.floor(w / factor)];
}

const vq: NetworkDefinition<VqConfig> = {
  inputs: ['image', 'z', 'codes'],
  parts: (config) => ({
    encode: (options) => traceVqEncode(config, options),
    quantize: (options) => traceVqQuantize(config, options),
    decode: (options) => traceVqDecode(config, { ...options, quantize: true }),
    'decode.force_not_quantize': (options) => traceVqDecode(config, { ...options, quantize: false }),
    codes: (options) => traceVqCodes(config, options),
  }),
  plan: (config, given) => {
    const parts = vq.parts(config);
    const step = (
      part: string,
      inputs: PlanStep['inputs'],
      outputs: Readonly<Record<string, string>> = {},
    ): PlanStep => {
      const trace = parts[part];
      if (!trace) throw new StableDiffusionError('invalid-argument', `VQModel has no part ${part}.`);
      return { part, trace, inputs, outputs };
    };
    const steps: PlanStep[] = [];
    if (given.has('image')) {
      steps.push(step('encode', { image: 'image' }));
      steps.push(step('decode', { z: 'prequant' }));
      steps.push(step('decode.force_not_quantize', { z: 'prequant' }, { decoded: 'decoded.force_not_quantize' }));
    }
    if (given.has('z')) {
      steps.push(step('quantize', { z: 'z' }, { quant: 'z.quant', loss: 'z.loss', indices: 'z.indices' }));
      steps.push(step(config.interface ? 'decode' : 'decode.force_not_quantize', { z: 'z' }, { decoded: 'z.decoded' }));
    }
    if (given.has('codes'))
      steps.push(
        step('codes', { codes: { tensor: 'codes', shape: codesShape(config, given) } }, { entry: 'codes.entry' }),
      );
    return steps;
  },
};

/** `guessed` has the last guess of the clean picture as an input, which models with `self_condition` take. */
const lucidUNet: NetworkDefinition<NetworkConfigOf<'lucid_unet'>> = {
  inputs: ['x', 'timesteps', 'x_self_cond'],
  parts: (config) => ({
    forward: (options) => traceLucidUNet(config, options),
    ...(config.self_condition
      ? { guessed: (options: NetworkTraceOptions | undefined) => traceLucidUNet(config, options, true) }
      : {}),
  }),
  plan: (config, given) => {
    if (!given.has('x') || !given.has('timesteps')) return [];
    const part = config.self_condition && given.has('x_self_cond') ? 'guessed' : 'forward';
    const inputs = ['x', 'timesteps', ...(part === 'guessed' ? ['x_self_cond'] : [])];
    return [
      {
        part,
        trace: (options) => traceLucidUNet(config, options, part === 'guessed'),
        inputs: Object.fromEntries(inputs.map((name) => [name, name])),
      },
    ];
  },
};

/** Embeddings of `image` and `text`, and their logits if both are given. */
const openAiClip: NetworkDefinition<NetworkConfigOf<'openai_clip'>> = {
  inputs: ['image', 'text'],
  parts: (config) => ({
    image: (options) => traceOpenAiClipImage(config, options),
    text: (options) => traceOpenAiClipText(config, options),
    logits: (options) => traceOpenAiClipLogits(config, options),
  }),
  plan: (config, given) => {
    const steps: PlanStep[] = [];
    if (given.has('image'))
      steps.push({
        part: 'image',
        trace: (options) => traceOpenAiClipImage(config, options),
        inputs: { image: 'image' },
      });
    if (given.has('text'))
      steps.push({ part: 'text', trace: (options) => traceOpenAiClipText(config, options), inputs: { text: 'text' } });
    if (steps.length === 2) {
      steps.push({
        part: 'logits',
        trace: (options) => traceOpenAiClipLogits(config, options),
        inputs: { image_embeds: 'image_embeds', text_embeds: 'text_embeds' },
      });
    }
    return steps;
  },
};

const taesd: NetworkDefinition<NetworkConfigOf<'taesd'>> = {
  inputs: ['image', 'z'],
  parts: (config) => ({
    encode: (options) => traceTaesdEncode(config, options),
    decode: (options) => traceTaesdDecode(config, options),
  }),
  plan: (config, given) => {
    const steps: PlanStep[] = [];
    if (given.has('image'))
      steps.push({ part: 'encode', trace: (options) => traceTaesdEncode(config, options), inputs: { image: 'image' } });
    if (given.has('z'))
      steps.push({ part: 'decode', trace: (options) => traceTaesdDecode(config, options), inputs: { z: 'z' } });
    return steps;
  },
};

const safetyChecker: NetworkDefinition<NetworkConfigOf<'safety_checker'>> = {
  ...singleGraph(['clip_input'], traceSafetyChecker),
  inputs: ['clip_input', 'images'],
  finish: (results, inputs) => {
    const outputs = new Map(results);
    const [special, concept] = [results.get('special_margin'), results.get('concept_margin')];
    if (!special || !concept) return outputs;
    const verdict = judgeSafety(special, concept);
    outputs.delete('special_margin');
    outputs.delete('concept_margin');
    outputs.set('special_scores', verdict.specialScores).set('concept_scores', verdict.conceptScores);
    outputs
      .set('special_care', verdict.specialCare)
      .set('bad_concepts', verdict.badConcepts)
      .set('has_nsfw', verdict.hasNsfw);
    const images = inputs.get('images');
    if (images) outputs.set('images', blackOut(images as Tensor<'float32'>, verdict.hasNsfw));
    return outputs;
  },
};

const ifSafetyChecker: NetworkDefinition<NetworkConfigOf<'if_safety_checker'>> = {
  ...singleGraph(['clip_input'], traceIfSafetyChecker),
  inputs: ['clip_input', 'images'],
  finish: (results, inputs) => {
    const outputs = new Map(results);
    const [nsfw, watermark] = [results.get('p_score'), results.get('w_score')];
    if (!nsfw || !watermark) return outputs;
    const flagged = [nsfw, watermark].map(aboveThreshold) as [Tensor<'uint8'>, Tensor<'uint8'>];
    outputs.set('nsfw', flagged[0]).set('watermark', flagged[1]);
    const images = inputs.get('images');
    if (images) outputs.set('images', flagged.reduce(blackOut, images as Tensor<'float32'>));
    return outputs;
  },
};

/** One graph for every size where the sizes are whole multiples; else graphs depend on the image's size. */
const spatialRescaler: NetworkDefinition<NetworkConfigOf<'spatial_rescaler'>> = {
  inputs: ['x'],
  parts: (config) => ({
    forward: (options) =>
      traceSpatialRescaler(config, Number.isInteger(1 / config.multiplier) ? options : { ...options, size: [64, 64] }),
  }),
  plan: (config, given) => {
    if (!given.has('x')) return [];
    const [, channels = 1, height = 1, width = 1] = givenShape(given, 'x', 4);
    return [
      {
        part: 'forward',
        trace: (options) => traceSpatialRescaler(config, { ...options, size: [height, width], channels }),
        inputs: { x: 'x' },
      },
    ];
  },
};

const clipImageEmbedder: NetworkDefinition<NetworkConfigOf<'clip_image_embedder'>> = {
  inputs: ['image'],
  parts: (config) => ({ forward: (options) => traceClipImageEmbedder(config, options) }),
  plan: (config, given) => {
    if (!given.has('image')) return [];
    const [, , height = 1, width = 1] = givenShape(given, 'image', 4);
    return [
      {
        part: 'forward',
        trace: (options) => traceClipImageEmbedder(config, { ...options, size: [height, width] }),
        inputs: { image: 'image' },
      },
    ];
  },
};

/** Without a `style` the text itself is pooled. */
const ifUNet: NetworkDefinition<NetworkConfigOf<'if_unet'>> = {
  inputs: ['x', 'timesteps', 'context', 'style', 'y'],
  parts: (config) => ({ forward: (options) => traceIfUNet(config, options) }),
  plan: (config, given) => {
    const names = ['x', 'timesteps', 'context', ...(config.noise_level ? ['y'] : [])];
    if (!names.every((name) => given.has(name))) return [];
    const inputs = Object.fromEntries(names.map((name) => [name, name]));
    const trace = (options?: NetworkTraceOptions) => traceIfUNet(config, options);
    return [{ part: 'forward', trace, inputs: { ...inputs, style: given.has('style') ? 'style' : 'context' } }];
  },
};

/** Without an `attention_mask` every token counts. */
const t5Encoder: NetworkDefinition<NetworkConfigOf<'t5_encoder'>> = {
  inputs: ['input_ids', 'attention_mask'],
  parts: (config) => ({
    forward: (options) => traceT5Encoder(config, options),
    unmasked: (options) => traceT5Encoder(config, { ...options, masked: false }),
  }),
  plan: (config, given) => {
    if (!given.has('input_ids')) return [];
    const masked = given.has('attention_mask');
    const names = masked ? ['input_ids', 'attention_mask'] : ['input_ids'];
    return [
      {
        part: masked ? 'forward' : 'unmasked',
        trace: (options) => traceT5Encoder(config, { ...options, masked }),
        inputs: Object.fromEntries(names.map((name) => [name, name])),
      },
    ];
  },
};

/** `out` in evaluation, and `train.out` with the buffers that a pass in training changes. */
const discriminator: NetworkDefinition<NetworkConfigOf<'discriminator'>> = {
  inputs: ['x'],
  parts: (config) => ({
    forward: (options) => traceDiscriminator(config, options),
    train: (options) => traceDiscriminatorTraining(config, options),
  }),
  plan: (config, given) => {
    if (!given.has('x')) return [];
    const step = (part: string, trace: PlanStep['trace']): PlanStep => ({ part, trace, inputs: { x: 'x' } });
    return [
      step('forward', (options) => traceDiscriminator(config, options)),
      step('train', (options) => traceDiscriminatorTraining(config, options)),
    ];
  },
};

/** For pictures of one size, that of `x`. */
const dptHybrid: NetworkDefinition<NetworkConfigOf<'dpt_hybrid'>> = {
  inputs: ['x'],
  parts: (config) => ({ forward: (options) => traceDptHybrid(config, options) }),
  plan: (config, given) => {
    if (!given.has('x')) return [];
    const [, , height = 1, width = 1] = givenShape(given, 'x', 4);
    const size = [height, width] as const;
    return [{ part: 'forward', trace: (options) => traceDptHybrid(config, { ...options, size }), inputs: { x: 'x' } }];
  },
};

const networks: { readonly [K in NetworkKind]: NetworkDefinition<NetworkConfigOf<K>> } = {
  unet,
  encoder_unet: singleGraph(['x', 'timesteps'], traceEncoderUNet),
  ddpm_unet: singleGraph(['x', 'timesteps'], traceDdpmUNet),
  if_unet: ifUNet,
  lucid_unet: lucidUNet,
  controlnet: singleGraph(['x', 'timesteps', 'context', 'hint'], traceControlNet),
  t2i_adapter: singleGraph(['image'], traceT2IAdapter),
  t2i_style: singleGraph(['hidden_states'], traceT2IStyle),
  ip_adapter: singleGraph(['image_embeds'], traceIpAdapter),
  gligen: singleGraph(['phrases', 'boxes', 'used'], traceGligen),
  kl,
  vq,
  clip_text: atMost(singleGraph(['input_ids'], traceClipText), 'input_ids', (config) => config.max_position_embeddings),
  clip_vision: singleGraph(['pixel_values'], traceClipVision),
  openai_clip: openAiClip,
  clip_image_embedder: clipImageEmbedder,
  clip_text_embedder: singleGraph(['tokens'], traceClipTextEmbedder),
  bert: atMost(singleGraph(['tokens'], traceBertEmbedder), 'tokens', (config) => config.max_seq_len),
  t5_encoder: t5Encoder,
  class_embedder: singleGraph(['class'], traceClassEmbedder),
  spatial_rescaler: spatialRescaler,
  safety_checker: safetyChecker,
  if_safety_checker: ifSafetyChecker,
  taesd,
  dpt_hybrid: dptHybrid,
  lpips: singleGraph(['a', 'b'], traceLpips),
  discriminator,
  identity: { inputs: [], parts: () => ({}), plan: () => [] },
};

/** The definition of the network of a configuration. */
export function networkDefinition<C extends NetworkConfig>(config: C): NetworkDefinition<C> {
  return networks[config.kind] as NetworkDefinition<NetworkConfig> as NetworkDefinition<C>;
}

/** Every parameter of a network with its extensions, under canonical names, in the order of its graphs. */
export function networkParameters(
  config: NetworkConfig,
  extensions?: readonly Extension[],
  size?: readonly [height: number, width: number],
): readonly { readonly name: string; readonly shape: readonly number[] }[] {
  const found = new Map<string, NamedValue>();
  for (const trace of Object.values(networkDefinition(config).parts(config))) {
    for (const parameter of trace({ extensions, size }).parameters)
      if (!found.has(parameter.name)) found.set(parameter.name, parameter);
  }
  return Array.from(found.values(), ({ name, value }) => ({ name, shape: value.shape.map(Number) }));
}

/**
 * The steps that run a network on the given tensors.
 * @throws `invalid-argument` where they do not suffice for any
 */
export function forwardNetwork(config: NetworkConfig, given: GivenInputs): readonly PlanStep[] {
  const definition = networkDefinition(config);
  const steps = definition.plan(config, given);
  if (steps.length > 0 || config.kind === 'identity') return steps;
  throw new StableDiffusionError(
    'invalid-argument',
    `Nothing can be run of a ${config.kind} on the tensors ${[...given.keys()].join(', ') || '(none)'}; it takes ${definition.inputs.join(', ')}.`,
  );
}
