/** The guided model of a batch: its condition, the guidance scales and the guidance by an image, over a network; a refiner takes over if the request names one. */

import { classifierTerms, classesOfModel } from './guided-by-classifier.ts';
import { condition, encodedGuide, type Guide } from '../conditioning/condition.ts';
import type { PictureSizes } from '../conditioning/conditioner.ts';
import { halfMark } from '../diffusion/control/control-unit.ts';
import type { DiffusionModel } from '../diffusion/denoiser.ts';
import { type GuidanceTerm, guidedModel, type Network } from '../diffusion/guidance.ts';
import { handOver } from '../diffusion/hand-over.ts';
import { withNoisedCondition } from '../diffusion/noised-condition.ts';
import { totalCalls } from '../diffusion/total-calls.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { Model } from '../model/model.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { layoutOf, patchedBy } from './patched-run.ts';
import type { RunPlan } from './plan-run.ts';
import type { BatchStart } from './start.ts';

/** A batch's guidance over a network. The model counts its calls, so each is for one sampling. */
export type GuideBatch = (network: Network, start: BatchStart, terms?: readonly GuidanceTerm[]) => DiffusionModel;

type SizeConditions = NonNullable<GenerationRequest['sizeConditions']>;

/** A request's sizes as the conditioner has them: (height, width), (top, left). */
function sizesOf({ original, crop, target, aestheticScore }: SizeConditions): Partial<PictureSizes> {
  return {
    ...(original ? { original: [original.height, original.width] } : {}),
    ...(crop ? { crop: [crop.top, crop.left] } : {}),
    ...(target ? { target: [target.height, target.width] } : {}),
    ...(aestheticScore === undefined ? {} : { aesthetic: aestheticScore }),
  };
}

/** Encodes the condition of a batch for one of the run's models. */
function conditionFor(model: Model, plan: RunPlan, batch: BatchSettings): Promise<Guide> {
  const { request, inputs, sampling } = plan;
  const { promptSyntax, promptSettings, guidanceScale, sizeConditions, cleanCaption } = request;
  const guided = guidanceScale !== 1 || (sampling.sampler.needsUnconditional ?? false);
  if (inputs.encoded && model === plan.model) return Promise.resolve(encodedGuide(inputs.encoded, guided));
  const isSecond = model !== plan.model && !model.conditioner.readsSecondTexts;
  return condition(model, {
    ...batch,
    ...classesOfModel(model, plan, batch),
    ...(isSecond ? { secondPrompts: undefined, secondNegatives: undefined } : {}),
    layout: layoutOf(plan),
    size: { width: plan.width, height: plan.height },
    sizes: sizeConditions && sizesOf(sizeConditions),
    negativeSizes: sizeConditions?.negative && sizesOf(sizeConditions.negative),
    encodesEmpty: (request.emptyNegative ?? (request.noise === 'comfy' ? 'encoded' : 'zeros')) === 'encoded',
    promptSyntax,
    promptSettings,
    // diffusers takes the negative prompt from the usual layer.
    ...(request.noise === 'diffusers' ? { negativeClipSkip: 1 } : {}),
    guided,
    cleanCaption,
    calls: (steps) => totalCalls(sampling.sampler, steps),
    signal: inputs.signal,
  });
}

/** Encodes the condition of a batch. Throws `invalid-argument` for conditions that the model does not take. */
export async function conditionBatch(plan: RunPlan, batch: BatchSettings): Promise<GuideBatch> {
  const { model, refiner, request } = plan;
  const { guidanceScale: scale, guidanceRescale: rescale } = request;
  const { schedule, parameterization } = model;
  const own = await conditionFor(model, plan, batch);
  const second = refiner && (await conditionFor(refiner.model, plan, batch));
  const { learnsVariance } = model.denoiser;
  const common = { schedule, parameterization, scale, rescale, learnsVariance };
  const marked = plan.controls !== undefined;
  // Controls tell the halves of guidance apart.
  const marks = (isConditional: boolean, given: NetworkInputs | undefined): NetworkInputs | undefined =>
    marked ? { ...given, ...halfMark(isConditional) } : given;
  const guides = classifierTerms(plan, batch);
  return (network, { concat, inputs, unconditionalInputs = inputs, imageGuidance }, terms) => {
    const image = {
      inputs: marks(true, inputs),
      unconditionalInputs: marks(false, unconditionalInputs),
      imageScale: imageGuidance,
      terms: [...(terms ?? []), ...guides],
    };
    const options = { ...common, ...image, network: patchedBy(plan, model, batch, network) };
    const { num_timesteps_cond: count } = model.checkpoint.config;
    const first =
      concat && count > 1
        ? withNoisedCondition((noised) => own({ ...options, concat: noised }), concat, schedule, count)
        : own({ ...options, concat });
    if (!refiner || !second) return first;
    const predict: Network = (inputs, signal) => refiner.model.predict(inputs, signal);
    const refining = patchedBy(plan, refiner.model, batch, predict);
    return handOver(first, (firstCall) => second({ ...common, network: refining, firstCall }), refiner);
  };
}

/** The model without conditions, for rehearsals: the network's answers do not count there. */
export function unguided({ model }: RunPlan): GuideBatch {
  const { schedule, parameterization, denoiser } = model;
  const { learnsVariance } = denoiser;
  return (network) => guidedModel({ network, schedule, parameterization, learnsVariance, condition: {} });
}
