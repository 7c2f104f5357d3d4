/** Whole runs under controls at latent level: ControlNets, T2I-Adapters and IP-Adapters in diffusers' pipelines and in the original sampler. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import type { SamplingRequest } from '../../../src/diffusion/sampler.ts';
import { autoencoderOf } from '../../../src/model/autoencoder.ts';
import { embeddedTokens, type ControlModel } from '../../../src/model/control-model.ts';
import type { ControlInput } from '../../../src/model/control-units.ts';
import { groundedObjects } from '../../../src/model/grounded-objects.ts';
import { NetworkSet } from '../../../src/model/network-set.ts';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import type { KlConfig } from '../../../src/config/network-config.ts';
import type { ObjectBox } from '../../../src/models/gligen.ts';
import { scale } from '../../../src/tensor/arithmetic.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { stack } from '../analytic-model.ts';
import { collecting } from '../comparisons.ts';
import { controlFrom, floats, unetModel, wholeRun } from '../control-case.ts';
import { atolOf, type Case, compareRun } from '../control-run.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { readTensors } from '../../tensors.ts';

const listOf = <T>(value: T | readonly T[] | undefined, index: number, otherwise: T): T =>
  Array.isArray(value) ? (value[index] as T) : ((value as T | undefined) ?? otherwise);

/** The first path of a text in `weights` of the row. */
const pathOf = ({ row, setFolder }: RecordedCase, field: string): string =>
  join(setFolder, String((row['weights'] as Recorded)[field]).split(/[\s,]/)[0] ?? '');

/** The ControlNets of a row with its options, as diffusers takes them. */
function controlInputs(one: Case, controls: readonly ControlModel[], options: Recorded, name: string): ControlInput[] {
  return controls.map((control, i) => {
    const hint = `hint${i === 0 ? '' : i + 1}`;
    const other = [
      `${hint}_${name}`,
      name.includes('inpaint') ? `${hint}_inpaint` : '',
      name.includes('plain') ? `${hint}_plain` : '',
    ];
    return wholeRun(control, {
      hint: floats(one.inputs, other.find((tensor) => one.inputs.has(tensor)) ?? hint),
      weight: listOf(options.controlnet_conditioning_scale, i, 1),
      mode: options.guess_mode ? 'guess' : 'balanced',
      window: { start: listOf(options.control_guidance_start, i, 0), end: listOf(options.control_guidance_end, i, 1) },
    });
  });
}

/** Mean and sample of the first stage's posterior, scaled. */
async function encoded({ inputs, recorded }: Case, image: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const path = join(recorded.setFolder, 'base/vae.json');
  const config = huggingFaceNetwork(
    { ...JSON.parse(readFileSync(path, 'utf8')), _class_name: 'AutoencoderKL' },
    path,
  ) as KlConfig;
  const source = memoryWeights(readTensors(pathOf(recorded, 'vae')), path);
  const weights = canonicalWeights(source, config).source;
  await using networks = new NetworkSet({
    label: path,
    engine: parityEngine(),
    networks: new Map([['first_stage', { config, weights }]]),
  });
  const stage = autoencoderOf(config, networks);
  return scale(
    stage.sample(await stage.encode(image), () => floats(inputs, 'draw.encode')),
    0.18215,
  );
}

/** 1 where the picture is kept, at the latent's size by nearest neighbour. */
function keptMask(mask: Tensor<'float32'>, factor: number): Tensor<'float32'> {
  const [n = 1, , h = 1, w = 1] = mask.shape;
  const [rows, columns] = [h / factor, w / factor];
  const data = new Float32Array(n * rows * columns);
  for (let y = 0; y < rows; y++)
    for (let x = 0; x < columns; x++) data[y * columns + x] = 1 - (mask.data[y * factor * w + x * factor] as number);
  return tensor('float32', [n, 1, rows, columns], data);
}

async function startOf(
  one: Case,
  name: string,
  steps: number,
  strength: number | undefined,
): Promise<Partial<SamplingRequest>> {
  const { inputs } = one;
  if (strength === undefined) return {};
  const startStep = steps - Math.min(Math.trunc(steps * strength), steps);
  const noise = floats(inputs, name.includes('given') ? 'latents' : 'draw.noise');
  if (!inputs.has('mask')) {
    const initial = name.startsWith('pixels')
      ? await encoded(one, floats(inputs, 'image'))
      : floats(inputs, 'image_latents');
    return { initial, startStep, startNoise: noise };
  }
  const latent = await encoded(one, floats(inputs, 'image'));
  const inpainting = { mask: keptMask(floats(inputs, 'mask'), 8), latent };
  return { inpainting, startStep, startNoise: noise, ...(strength === 1 ? {} : { initial: latent }) };
}

async function compareControlNets(one: Case): Promise<void> {
  const { recorded, model, inputs } = one;
  const settings = settingsOf(recorded);
  const paths = [pathOf(recorded, 'controlnet'), ...(inputs.has('hint2') ? [pathOf(recorded, 'controlnet2')] : [])];
  const plain = {
    controlnet_conditioning_scale:
      settings.controlnet_conditioning_scale ?? settings['default controlnet_conditioning_scale here'],
  };
  for (const [name, own] of Object.entries<Recorded>(settings.variants)) {
    const controls = paths.map((path) => controlFrom(model, path, { pool: name.includes('pool') }));
    const options = { ...plain, ...own };
    await compareRun(one, {
      name,
      controls: controlInputs(one, controls, options, name),
      guidance: own.guidance_scale ?? (name.includes('no_cfg') ? 1 : settings.guidance_scale),
      steps: settings.steps,
      scheduler: name in settings && name === 'euler' ? 'EulerDiscreteScheduler' : 'DDIMScheduler',
      request: await startOf(one, name, settings.steps, own.strength),
    });
    for (const control of controls) await control.dispose();
  }
}

/** Features of an adapter by the names in the case. */
async function compareFeatures(
  { recorded, wanted, compare }: Case,
  kind: string,
  control: ControlModel,
  image: Tensor<'float32'>,
): Promise<void> {
  for (const [name, value] of Object.entries(await control.run({ image }))) {
    const output = `feature.${kind}.${name.slice('adapter.'.length)}`;
    compare.tensor(output, value, floats(wanted, output), atolOf(recorded, output));
  }
}

async function compareAdapters(one: Case): Promise<void> {
  const { recorded, model, inputs } = one;
  const settings = settingsOf(recorded);
  const adapters = new Map(
    [
      ['full', 'image'],
      ['light', 'image_light'],
    ].map(([kind = '', image = '']) => [
      kind,
      { control: controlFrom(model, pathOf(recorded, kind)), image: floats(inputs, image) },
    ]),
  );
  for (const [kind, { control, image }] of adapters) await compareFeatures(one, kind, control, image);
  for (const [name, [kind, scales]] of Object.entries<Recorded>(settings.variants)) {
    const used = kind === 'multi' ? [...adapters.values()] : [adapters.get(kind)];
    const controls = used.flatMap((found, i) =>
      found ? [wholeRun(found.control, { hint: found.image, weight: listOf(scales, i, 1) })] : [],
    );
    await compareRun(one, { name, controls, guidance: settings.guidance_scale, steps: settings.steps, request: {} });
  }
  for (const { control } of adapters.values()) await control.dispose();
}

/** [unconditional, conditional] embeddings: of one half, [images, …]. */
const halfOf = (embeds: Tensor<'float32'>, half: number): Tensor<'float32'> => {
  const own = takeBatch(embeds, half, half + 1);
  return tensor('float32', own.shape.slice(1), own.data);
};

async function compareImagePrompts(one: Case): Promise<void> {
  const { recorded, model, inputs, wanted, compare } = one;
  const settings = settingsOf(recorded);
  const files = String((recorded.row['weights'] as Recorded).ip).split(/,\s*/);
  const control = controlFrom(model, pathOf(recorded, 'controlnet'));
  const open = new Map<string, ControlModel>();
  const opened = (kind: string): ControlModel => {
    const path = files.find((file) => file.includes(`_${kind}.`)) ?? '';
    const known = open.get(kind) ?? controlFrom(model, join(recorded.setFolder, path));
    open.set(kind, known);
    return known;
  };
  const variants: [string, Recorded][] = Object.entries(settings['variants {name: [adapters, scales, embeds]}']);
  for (const [name, [kinds, scales, embeds]] of variants) {
    const controls: ControlInput[] = [];
    for (const [i, kind] of (kinds as string[]).entries()) {
      const given = floats(inputs, embeds[i]);
      const tokens = await embeddedTokens(opened(kind), halfOf(given, 1), halfOf(given, 0));
      const region = name.includes('mask') ? floats(inputs, `mask.${i}`) : undefined;
      controls.push(wholeRun(opened(kind), { tokens, weight: scales[i], region }));
      const output = `tokens.${kind}`;
      if (!wanted.has(output) || (kinds as string[]).length > 1 || name.includes('two')) continue;
      const both = stack(
        [tokens.unconditional, tokens.conditional].map((half) => tensor('float32', half.shape.slice(1), half.data)),
      );
      if (scales[0] !== 0 && name !== 'no_cfg')
        compare.tensor(output, both, floats(wanted, output), atolOf(recorded, output));
    }
    if (name.includes('controlnet'))
      controls.push(
        wholeRun(control, { hint: floats(inputs, 'hint'), weight: settings.controlnet_conditioning_scale }),
      );
    await compareRun(one, {
      name,
      controls,
      guidance: name === 'no_cfg' ? 1 : settings.guidance_scale,
      steps: settings.steps,
      request: {},
    });
  }
  for (const each of [control, ...open.values()]) await each.dispose();
}

async function compareOriginal(one: Case): Promise<void> {
  const { recorded, model, inputs, wanted, compare } = one;
  const settings = settingsOf(recorded);
  const adapter = controlFrom(model, pathOf(recorded, 'full'));
  const style = controlFrom(model, pathOf(recorded, 'style'), { styleHeads: settings.StyleAdapter.num_head });
  const hiddenStates = floats(inputs, 'clip_hidden');
  const { style_tokens } = await style.run({ hidden_states: hiddenStates });
  compare.tensor('style_tokens', style_tokens, floats(wanted, 'style_tokens'), atolOf(recorded, 'style_tokens'));
  for (const [name, own] of Object.entries<Recorded>(settings.variants)) {
    const hint = floats(inputs, 'image');
    const features = wholeRun(adapter, { hint, weight: settings.cond_weight, window: { start: 0, end: own.cond_tau } });
    const tokens = wholeRun(style, {
      hiddenStates,
      window: { start: 0, end: own.style_cond_tau ?? 1 },
      styleNegative: 'repeat',
    });
    const controls = name.startsWith('style') ? [tokens] : name === 'both' ? [features, tokens] : [features];
    await compareRun(one, {
      name,
      controls,
      guidance: settings.guidance_scale,
      steps: settings.steps,
      request: {},
      rule: 'tencentarc',
    });
  }
  await adapter.dispose();
  await style.dispose();
}

/** GLIGEN: phrases in boxes, for the first part of the steps. */
async function compareGrounding(one: Case): Promise<void> {
  const { recorded, model, inputs } = one;
  const settings = settingsOf(recorded);
  const control = controlFrom(model, pathOf(recorded, 'gligen'));
  const objects = await groundedObjects(
    control,
    floats(inputs, 'phrase_embeddings'),
    settings['boxes xyxy in [0,1]'] as ObjectBox[],
  );
  const variants: Recorded = settings['variants gligen_scheduled_sampling_beta'];
  for (const [name, end] of Object.entries<number>(variants))
    await compareRun(one, {
      name,
      controls: [wholeRun(control, { objects, window: { start: 0, end } })],
      guidance: settings.guidance_scale,
      steps: settings.steps,
      request: {},
    });
  await control.dispose();
}

const kinds: readonly (readonly [RegExp, (one: Case) => Promise<void>])[] = [
  [/IP-Adapter/, compareImagePrompts],
  [/TencentARC/, compareOriginal],
  [/StableDiffusionAdapterPipeline/, compareAdapters],
  [/StableDiffusionControlNet/, compareControlNets],
  [/GLIGEN/, compareGrounding],
];

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'pipelines' && kinds.some(([original]) => original.test(originalOf(row))),
  compare: collecting(async (recorded, compare) => {
    const [, run] = kinds.find(([original]) => original.test(originalOf(recorded.row))) ?? [];
    await using model = unetModel(join(recorded.setFolder, '../networks/unet_sd'));
    const inputs = readTensors(join(recorded.folder, 'inputs.safetensors'));
    const wanted = readTensors(join(recorded.folder, 'outputs.safetensors'));
    await run?.({ model, inputs, wanted, recorded, compare });
  }),
};
