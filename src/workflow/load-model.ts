/** MODEL, CLIP and VAE of a checkpoint, and of networks in files of their own. */

import { assembledConfig } from '../checkpoints/assembled-config.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { DetectedNetwork } from '../checkpoints/detect.ts';
import { familyInMetadata, familyOfContext } from '../checkpoints/model-families.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import {
  type ClipTextConfig,
  type FirstStageConfig,
  identityConfigSchema,
  type NetworkConfig,
  ldmUNet,
} from '../config/network-config.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NamedNetwork } from '../model/network-set.ts';
import { createClipTokenizer, type ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { inHalfPrecision } from './half-precision.ts';
import { samplingOf } from './sampling/model-sampling.ts';
import type { ClipValue, EncoderName, TextEncoderValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';
import type { VaeValue } from './values/vae.ts';

const tokenizers = new Map<string, ClipTokenizer>();

/** CLIP's tokenizer as transformers 5 has it; one for each vocabulary and padding. */
function tokenizerOf(vocabSize: number, pad: 'end' | 'zero'): ClipTokenizer {
  const key = `${vocabSize} ${pad}`;
  const known = tokenizers.get(key);
  if (known) return known;
  const made = createClipTokenizer({ vocabSize, pad, profile: 'hf5' });
  tokenizers.set(key, made);
  return made;
}

/** MODEL of a network and the configuration of its diffusion. */
export function modelValue(label: string, network: ModelValue['network'], config: LatentDiffusionConfig): ModelValue {
  return { holdsNetworks: true, label, network, config, sampling: samplingOf(config), patches: {} };
}

interface NamedEncoder {
  readonly name: EncoderName;
  readonly config: ClipTextConfig;
  readonly weights: WeightSource;
  readonly isXl: boolean;
}

function encoderValue({ name, config, weights, isXl }: NamedEncoder, full: boolean): TextEncoderValue {
  return {
    name,
    network: { config, weights: full ? weights : inHalfPrecision(weights) },
    tokenizer: tokenizerOf(config.vocab_size, name === 'l' ? 'end' : 'zero'),
    layer: name === 'l' && !isXl ? -1 : -2,
    normsEarlierLayers: !isXl,
  };
}

/** A text encoder with the projection that its file carries although its condition does without. */
function projected(
  encoder: Pick<NamedEncoder, 'config' | 'weights'>,
  projection: WeightSource | undefined,
): Pick<NamedEncoder, 'config' | 'weights'> {
  const [matrix] = projection?.entries.values() ?? [];
  if (!projection || !matrix || encoder.config.with_projection) return encoder;
  return {
    config: { ...encoder.config, with_projection: true, projection_dim: matrix.shape[0] ?? 1 },
    weights: joined([encoder.weights, projection], encoder.weights.label),
  };
}

/** The encoders of a condition in order; none where it is no text. */
function namedEncoders({ config, parts, textProjection }: Checkpoint): NamedEncoder[] {
  const condition = config.cond_stage_config;
  const isXl = typeof condition === 'object' && condition?.kind === 'composed';
  const found = [...conditionerParts(condition)].flatMap(([part, network]) => {
    const weights = parts[part];
    if (network.kind !== 'clip_text' || !weights) return [];
    return [isXl ? { config: network, weights } : projected({ config: network, weights }, textProjection)];
  });
  return found.map((one, i) => ({
    ...one,
    isXl,
    name: isXl ? (found.length === 1 || i === 1 ? 'g' : 'l') : one.config.layers_skipped > 0 ? 'h' : 'l',
  }));
}

export interface LoadOptions {
  /** Leaves the text encoder's weights as they are. */
  readonly fullTextEncoder?: boolean | undefined;
}

/** CLIP of a checkpoint. */
export function clipOf(checkpoint: Checkpoint, { fullTextEncoder = false }: LoadOptions = {}): ClipValue {
  return {
    holdsNetworks: true,
    label: checkpoint.label,
    encoders: namedEncoders(checkpoint).map((encoder) => encoderValue(encoder, fullTextEncoder)),
  };
}

/** CLIP of text encoders in files of their own, in the order in which they are joined. Throws `model-unknown`. */
export function clipOfNetworks(
  networks: readonly DetectedNetwork[],
  { fullTextEncoder = false }: LoadOptions = {},
): ClipValue {
  const encoders = networks.map(({ config, source }, i): NamedEncoder => {
    if (config.kind !== 'clip_text')
      throw new StableDiffusionError(
        'model-unknown',
        `${source.label} is not a CLIP text encoder; it is ${config.kind}.`,
      );
    const isXl = networks.length > 1;
    const name = isXl ? (i === 0 ? 'l' : 'g') : config.layers_skipped > 0 ? 'h' : 'l';
    return { config, weights: source, isXl, name };
  });
  return {
    holdsNetworks: true,
    label: networks.map(({ source }) => source.label).join(', '),
    encoders: encoders.map((encoder) => encoderValue(encoder, fullTextEncoder)),
  };
}

const isFirstStage = (config: NetworkConfig): config is FirstStageConfig =>
  config.kind === 'kl' || config.kind === 'vq' || config.kind === 'identity';

/** VAE of a network. Throws `model-unknown`. */
export function vaeOf(
  label: string,
  { config, weights }: NamedNetwork,
  family = familyInMetadata(weights.metadata),
): VaeValue {
  if (!isFirstStage(config))
    throw new StableDiffusionError('model-unknown', `${label} is not an autoencoder (VAE); it is ${config.kind}.`);
  return {
    holdsNetworks: true,
    label,
    network: { config, weights },
    downsampling: config.kind === 'identity' ? 1 : 2 ** (config.ddconfig.ch_mult.length - 1),
    family,
  };
}

/** What a checkpoint holds. */
export function valuesOf(
  checkpoint: Checkpoint,
  options: LoadOptions = {},
): { readonly model: ModelValue; readonly clip: ClipValue; readonly vae: VaeValue } {
  const { config, label, parts } = checkpoint;
  const unet = ldmUNet(config.unet_config);
  const family = familyOfContext(unet.context_dim);
  return {
    model: modelValue(label, { config: unet, weights: parts.unet }, config),
    clip: clipOf(checkpoint, options),
    vae: vaeOf(label, { config: config.first_stage_config, weights: parts.first_stage }, family),
  };
}

/** MODEL of a UNet in a file of its own, with the schedule and the scale of latents of its family. Throws `model-unknown`. */
export function modelOfNetwork({ config, source }: DetectedNetwork): ModelValue {
  if (config.kind !== 'unet')
    throw new StableDiffusionError('model-unknown', `${source.label} is not a UNet; it is ${config.kind}.`);
  const isXl = config.adm_in_channels !== null && config.adm_in_channels !== undefined;
  const whole = assembledConfig({
    unet: config,
    firstStage: identityConfigSchema.parse({ kind: 'identity' }),
    condStage: null,
    params: { scale_factor: isXl ? 0.13025 : 0.18215 },
  });
  return modelValue(source.label, { config, weights: source }, whole);
}
