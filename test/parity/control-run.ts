/** One run of a recorded control case: a UNet under controls through guidance and a sampler, compared latent by latent. */

import { halfMark } from '../../src/diffusion/control/control-unit.ts';
import type { ControlWindowRule } from '../../src/diffusion/control/control-window.ts';
import { diffusersSampler, schedulerOf } from '../../src/diffusion/diffusers/scheduler.ts';
import { guidedModel } from '../../src/diffusion/guidance.ts';
import { stableDiffusionSchedule } from '../../src/diffusion/noise-schedule.ts';
import type { SamplingRequest } from '../../src/diffusion/sampler.ts';
import { ddim } from '../../src/diffusion/samplers/ddim.ts';
import { type ControlInput, planControls } from '../../src/model/control-units.ts';
import { controlledDenoiser } from '../../src/model/controlled-denoiser.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { zeros, type Tensor } from '../../src/tensor/tensor.ts';
import type { Tensors } from '../tensors.ts';
import { stack } from './analytic-model.ts';
import type { Comparisons } from './comparisons.ts';
import { floats } from './control-case.ts';
import type { Recorded, RecordedCase } from './reader.ts';

const schedulerConfig = {
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  timestep_spacing: 'leading',
  steps_offset: 1,
  set_alpha_to_one: false,
  clip_sample: false,
} as const;

export interface Variant {
  readonly name: string;
  readonly controls: readonly ControlInput[];
  readonly guidance: number;
  readonly steps: number;
  readonly request: Partial<SamplingRequest>;
  readonly scheduler?: string;
  readonly rule?: ControlWindowRule;
  readonly negative?: Tensor<'float32'>;
}

export interface Case {
  readonly model: DenoisingModel;
  readonly inputs: Tensors;
  readonly wanted: Tensors;
  readonly recorded: RecordedCase;
  readonly compare: Comparisons;
}

export const atolOf = ({ row }: RecordedCase, output: string): number => (row['outputs'] as Recorded)[output].atol;

/** Runs a variant and compares its last latent, and the latent after each step where they were recorded. */
export async function compareRun({ model, inputs, wanted, recorded, compare }: Case, variant: Variant): Promise<void> {
  const { name, controls, guidance, steps, request, rule = 'diffusers' } = variant;
  const className = variant.scheduler ?? 'DDIMScheduler';
  const { schedule, parameterization } =
    rule === 'diffusers'
      ? schedulerOf(className, schedulerConfig)
      : { schedule: stableDiffusionSchedule(), parameterization: 'eps' as const };
  const progress = { finished: 0, steps: steps - (request.startStep ?? 0) };
  const plan = await planControls(model, controls);
  await using denoiser = await controlledDenoiser(model, plan, { schedule, parameterization, rule, progress });
  const guided = guidedModel({
    network: denoiser.network,
    schedule,
    parameterization,
    condition: { context: floats(inputs, 'prompt_embeds'), ...halfMark(true) },
    ...(guidance === 1
      ? {}
      : { unconditional: { context: floats(inputs, 'negative_prompt_embeds'), ...halfMark(false) } }),
    scale: guidance,
  });
  const sampler = rule === 'diffusers' ? diffusersSampler(className, schedulerConfig) : ddim;
  const sampling = sampler.run({
    model: guided,
    steps,
    startNoise: inputs.has('latents') ? floats(inputs, 'latents') : floats(inputs, 'draw.noise'),
    settings: { eta: 0 },
    stepNoise: { convention: 'diffusers', normal: (shape: readonly number[]) => zeros('float32', shape) } as never,
    ...request,
  });
  const latents: Tensor<'float32'>[] = [];
  for await (const { step, latent } of sampling) {
    latents.push(latent);
    progress.finished = step;
  }
  compare.tensor(
    `latents.${name}`,
    latents.at(-1),
    floats(wanted, `latents.${name}`),
    atolOf(recorded, `latents.${name}`),
  );
  if (wanted.has(`steps.${name}`))
    compare.tensor(`steps.${name}`, stack(latents), floats(wanted, `steps.${name}`), atolOf(recorded, `steps.${name}`));
}
