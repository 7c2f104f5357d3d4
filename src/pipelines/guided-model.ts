/** The guided model of a batch: its conditions, the guidance scales and the guidance by an image, over a network. */

import { composedModel } from '../diffusion/composed-guidance.ts';
import type { DiffusionModel } from '../diffusion/denoiser.ts';
import { type Condition, guidedModel, type Network } from '../diffusion/guidance.ts';
import type { BatchSettings } from '../generation/batches.ts';
import { tensor } from '../tensor/tensor.ts';
import { conditionsOf } from './conditions.ts';
import type { RunPlan } from './plan-run.ts';
import type { BatchStart } from './start.ts';

/** A batch's guidance over a network. The model counts its calls, so each is for one sampling. */
export type GuideBatch = (network: Network, start: BatchStart) => DiffusionModel;

/** Encodes the conditions of a batch. Throws `invalid-argument` for conditions that the model does not take. */
export async function conditionBatch(plan: RunPlan, batch: BatchSettings): Promise<GuideBatch> {
  const { model, request, inputs, sampling } = plan;
  const { condition, unconditional, promptsAt } = await conditionsOf(
    model,
    batch,
    { ...request, signal: inputs.signal },
    sampling.sampler,
  );
  return (network, { concat, imageGuidance }) => {
    const common = {
      network,
      schedule: model.schedule,
      parameterization: model.parameterization,
      scale: request.guidanceScale,
      rescale: request.guidanceRescale,
    };
    const blank = concat && tensor('float32', concat.shape, new Float32Array(concat.data.length));
    const byImage = imageGuidance !== undefined && blank ? { scale: imageGuidance, blank } : undefined;
    if (promptsAt) return composedModel({ ...common, promptsAt, concat, byImage });
    const withImage = (given: Condition): Condition => (concat ? { ...given, concat } : given);
    return guidedModel({
      ...common,
      condition: withImage(condition),
      unconditional: unconditional && withImage(unconditional),
      imageScale: byImage?.scale,
      imageUnconditional: byImage && { ...unconditional, concat: byImage.blank },
    });
  };
}

/** The model without conditions, for rehearsals: the network's answers do not count there. */
export function unguided({ model }: RunPlan): GuideBatch {
  const { schedule, parameterization } = model;
  return (network) => guidedModel({ network, schedule, parameterization, condition: {} });
}
