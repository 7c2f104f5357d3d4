/** Whole runs with what A1111's users add to sampling: guidance terms and rescaling, DeepCache, a refiner, in diffusers' pipeline and k-diffusion's Euler. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { networkConfigSchema, type UNetConfig } from '../../../src/config/network-config.ts';
import { diffusersSampler, schedulerOf } from '../../../src/diffusion/diffusers/scheduler.ts';
import { guidedModel, type GuidedModelOptions, type Network, rescaleGuided } from '../../../src/diffusion/guidance.ts';
import { handOver, isHandedOver } from '../../../src/diffusion/hand-over.ts';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { perturbedGuidance } from '../../../src/diffusion/perturbed-guidance.ts';
import type { Sampling } from '../../../src/diffusion/sampler.ts';
import { euler } from '../../../src/diffusion/samplers/euler.ts';
import { sigmasOf } from '../../../src/diffusion/samplers/sigma-sampler.ts';
import { blurLatent } from '../../../src/diffusion/self-attention-guidance.ts';
import type { PerturbedLayer } from '../../../src/extensions/perturbed-attention.ts';
import { perturbedAttention } from '../../../src/extensions/perturbed-attention.ts';
import { type DenoiserForms, openDenoiserForms } from '../../../src/model/denoiser-forms.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { float32, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { stack } from '../analytic-model.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

interface Case {
  readonly recorded: RecordedCase;
  readonly inputs: Tensors;
  readonly wanted: Tensors;
  readonly compare: Comparisons;
  readonly config: UNetConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
}

const floats = (tensors: Tensors, name: string): Tensor<'float32'> => toFloat32(pick(tensors, name));

function check({ recorded, wanted, compare }: Case, output: string, got: Tensor | undefined): void {
  compare.tensor(output, got, pick(wanted, output), (recorded.row['outputs'] as Recorded)[output].atol ?? 0);
}

const schedulerConfig = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  timestep_spacing: 'leading',
  steps_offset: 1,
  set_alpha_to_one: false,
  clip_sample: false,
} as const;

/** The forms of the case's UNet. */
function formsOf(
  { config, weights }: Case,
  extensions: Parameters<typeof openDenoiserForms>[0]['extensions'],
  deepCache?: { interval: number; branch: number },
): DenoiserForms {
  const source = canonicalWeights(memoryWeights(weights), config).source;
  return openDenoiserForms({ label: 'UNet', engine: parityEngine(), config, weights: [source], extensions, deepCache });
}

async function finish(one: Case, name: string, sampling: Sampling): Promise<void> {
  const latents: Tensor<'float32'>[] = [];
  for await (const { latent } of sampling) latents.push(latent);
  check(one, `latents.${name}`, latents.at(-1));
  if (one.wanted.has(`steps.${name}`)) check(one, `steps.${name}`, stack(latents));
}

interface Run {
  readonly name: string;
  readonly scale: number;
  readonly network: Network;
  readonly more?: Partial<GuidedModelOptions>;
}

/** A variant in diffusers' pipeline: DDIM. */
async function runPipeline(one: Case, { name, scale, network, more }: Run): Promise<void> {
  const { schedule, parameterization } = schedulerOf('DDIMScheduler', schedulerConfig);
  const model = guidedModel({
    network,
    schedule,
    parameterization,
    condition: { context: floats(one.inputs, 'prompt_embeds') },
    ...(scale > 1 ? { unconditional: { context: floats(one.inputs, 'negative_prompt_embeds') } } : {}),
    scale,
    ...more,
  });
  const sampling = diffusersSampler('DDIMScheduler', schedulerConfig).run({
    model,
    steps: settingsOf(one.recorded).steps,
    startNoise: floats(one.inputs, 'latents'),
    settings: { eta: 0 },
  });
  await finish(one, name, sampling);
}

async function compareRescale(one: Case): Promise<void> {
  const { guidance_scale: scale, variants, formula } = settingsOf(one.recorded);
  await using forms = formsOf(one, []);
  for (const [name, rescale] of Object.entries<number>(variants))
    await runPipeline(one, { name, scale, network: forms.network(), more: { rescale } });
  const share = Number(/[\d.]+$/.exec(formula)?.[0]);
  check(one, 'formula', rescaleGuided(floats(one.inputs, 'a'), floats(one.inputs, 'b'), share));
}

async function compareDeepCache(one: Case): Promise<void> {
  const settings = settingsOf(one.recorded);
  for (const [name, variant] of Object.entries<Recorded>(
    settings['variants {name: [cache_interval, cache_branch_id]}'],
  )) {
    await using forms = formsOf(one, [], variant ? { interval: variant[0], branch: variant[1] } : undefined);
    await runPipeline(one, { name, scale: settings.guidance_scale, network: forms.network() });
  }
}

async function compareSag(one: Case): Promise<void> {
  check(one, 'blur', blurLatent(floats(one.inputs, 'latents')));
  for (const [name, [strength, scale]] of Object.entries<Recorded>(
    settingsOf(one.recorded)['variants {name: [sag_scale, guidance_scale]}'],
  )) {
    await using forms = formsOf(one, []);
    const { network, term } = forms.selfAttentionGuided(strength);
    await runPipeline(one, { name, scale, network, more: { terms: [term] } });
  }
}

async function comparePag(one: Case): Promise<void> {
  const variants = settingsOf(one.recorded)['variants {name: [layers, pag_scale, guidance_scale, adaptive_scale]}'];
  for (const [name, [layers, strength, scale, adaptive]] of Object.entries<Recorded>(variants)) {
    const named = (layers as string[]).map((layer) => layer.replace('_blocks', '') as PerturbedLayer);
    await using forms = formsOf(one, [perturbedAttention(named)]);
    const terms = [perturbedGuidance({ scale: strength, adaptive })];
    await runPipeline(one, { name, scale, network: forms.network(), more: { terms } });
  }
}

/** Every tensor with two or more axes reversed: the recorded refiner. */
function reversed(weights: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  return new Map(
    [...weights].map(([name, value]) => [
      name,
      value.shape.length < 2
        ? value
        : tensor('float32', value.shape, toFloat32(value).data.toReversed() as Float32Array<ArrayBuffer>),
    ]),
  );
}

async function compareRefiner(one: Case): Promise<void> {
  const { steps, switch_at: at, cfg_scale: scale, 'first evaluation on the refiner': first } = settingsOf(one.recorded);
  const schedule = stableDiffusionSchedule();
  await using base = formsOf(one, []);
  await using refiner = formsOf({ ...one, weights: reversed(one.weights) }, []);
  const guided = (network: Network) =>
    guidedModel({
      network,
      schedule,
      parameterization: 'eps',
      condition: { context: floats(one.inputs, 'prompt_embeds') },
      unconditional: { context: floats(one.inputs, 'negative_prompt_embeds') },
      scale,
    });
  let handedAt: number | undefined;
  const models = {
    refined: handOver(
      guided(base.network()),
      (calls) => {
        handedAt = calls;
        return guided(refiner.network());
      },
      { at },
    ),
    base_only: guided(base.network()),
    refiner_only: guided(refiner.network()),
  };
  const startNoise = floats(one.inputs, 'latents');
  for (const [name, model] of Object.entries(models)) {
    const sampling = euler.run({ model, steps, startNoise });
    let next = await sampling.next();
    while (!next.done) next = await sampling.next();
    check(one, `samples.${name}`, next.value);
  }
  one.compare.exact('first evaluation on the refiner', handedAt, first);
  const sigmas = sigmasOf({}, { model: models.base_only, steps, startNoise });
  check(one, 'sigmas', float32([sigmas.length], sigmas));
}

/** The first evaluation that the refiner answers, for numbers of steps and shares. */
function compareSwitch({ recorded, compare }: Pick<Case, 'recorded' | 'compare'>): void {
  const values = JSON.parse(readFileSync(join(recorded.folder, 'values.json'), 'utf8')) as Readonly<
    Record<string, number | null>
  >;
  const schedule = stableDiffusionSchedule();
  for (const [name, wanted] of Object.entries(values)) {
    const [steps = 0, at = 0] = (name.match(/\d+(?:\.\d+)?/g) ?? []).map(Number);
    const model = { schedule, parameterization: 'eps' as const, predict: async (x: Tensor<'float32'>) => x };
    const sigmas = sigmasOf({}, { model, steps, startNoise: float32([1], [0]) });
    const ofCalls = name.endsWith('by steps') ? steps : undefined;
    const call = Array.from({ length: steps }, (_, i) => i).find((i) =>
      isHandedOver(schedule, { at, ofCalls }, schedule.timestepOfSigma(sigmas[i] as number), i),
    );
    compare.exact(name, call ?? null, wanted);
  }
}

const kinds: readonly (readonly [original: RegExp, compare: (one: Case) => Promise<void>])[] = [
  [/rescale_noise_cfg/, compareRescale],
  [/DeepCacheSDHelper/, compareDeepCache],
  [/StableDiffusionSAGPipeline/, compareSag],
  [/StableDiffusionPAGPipeline/, comparePag],
  [/apply_refiner with/, compareRefiner],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([original]) => original.test(originalOf(row)));
const isSwitch = (row: RecordedCase['row']): boolean => /sd_samplers_common\.apply_refiner/.test(originalOf(row));

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'a1111' && (kindOf(row) !== undefined || isSwitch(row)),
  compare: collecting(async (recorded, compare) => {
    const { folder, row, setFolder } = recorded;
    if (isSwitch(row)) return compareSwitch({ recorded, compare });
    const path = join(setFolder, String((row['weights'] as Recorded).unet));
    const yaml = join(dirname(path), 'config.yaml');
    await kindOf(row)?.[1]({
      recorded,
      compare,
      inputs: readTensors(join(folder, 'inputs.safetensors')),
      wanted: readTensors(join(folder, 'outputs.safetensors')),
      config: networkConfigSchema.parse(parseModelConfig(readFileSync(yaml, 'utf8'), yaml)) as UNetConfig,
      weights: readTensors(path),
    });
  }),
};
