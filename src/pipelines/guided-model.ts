/** The guided model of a batch: its condition, the guidance scales and the guidance by an image, over a network. */

import { condition } from '../conditioning/condition.ts';
import type { DiffusionModel } from '../diffusion/denoiser.ts';
import { guidedModel, type Network } from '../diffusion/guidance.ts';
import { totalCalls } from '../diffusion/total-calls.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { RunPlan } from './plan-run.ts';
import type { BatchStart } from './start.ts';

/** A batch's guidance over a network. The model counts its calls, so each is for one sampling. */
export type GuideBatch = (network: Network, start: BatchStart) => DiffusionModel;

/** Encodes the condition of a batch. Throws `invalid-argument` for conditions that the model does not take. */
export async function conditionBatch(plan: RunPlan, batch: BatchSettings): Promise<GuideBatch> {
  const { model, request, inputs, sampling } = plan;
  const { promptSyntax, promptSettings, guidanceScale, guidanceRescale } = request;
  const guide = await condition(model, {
    ...batch,
    size: { width: plan.width, height: plan.height },
    promptSyntax,
    promptSettings,
    guided: guidanceScale !== 1 || (sampling.sampler.needsUnconditional ?? false),
    calls: (steps) => totalCalls(sampling.sampler, steps),
    signal: inputs.signal,
  });
  const { schedule, parameterization } = model;
  return (network, { concat, imageGuidance }) =>
    guide({
      network,
      schedule,
      parameterization,
      scale: guidanceScale,
      rescale: guidanceRescale,
      concat,
      imageScale: imageGuidance,
    });
}

/** The model without conditions, for rehearsals: the network's answers do not count there. */
export function unguided({ model }: RunPlan): GuideBatch {
  const { schedule, parameterization } = model;
  return (network) => guidedModel({ network, schedule, parameterization, condition: {} });
}
