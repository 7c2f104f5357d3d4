/**
 * Guidance: a conditioned network as the `DiffusionModel` that samplers see.
 *
 * Classifier-free guidance: Ho and Salimans 2022 (arXiv 2207.12598), eps = eps_u + scale (eps_c - eps_u); both halves run as one doubled
 * batch, the unconditional one first, as CompVis's samplers do. With an image condition besides: InstructPix2Pix (Brooks et al. 2023,
 * arXiv 2211.09800), equation 3.
 */

import { addScaled, concatenate, takeBatch } from '../tensor/arithmetic.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { DiffusionModel, Latent } from './denoiser.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import type { Parameterization } from './parameterization.ts';

/** What the network is told besides x and t: LDM's conditioning keys crossattn (context), concat, hybrid (both), adm (y). Batch sizes are x's. */
export interface Condition {
  /** [b, tokens, width] */
  readonly context?: Tensor<'float32'>;
  /** [b, channels, h, w], appended to the latent's channels. */
  readonly concat?: Tensor<'float32'>;
  /** Class labels, int64 [b]. */
  readonly y?: Tensor<'int64'>;
}

export type ConditionedNetwork = (x: Latent, timestep: number, condition: Condition, signal?: AbortSignal) => Promise<Latent>;

export interface GuidanceOptions {
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly condition: Condition;
  /** The empty condition. Without it, or at scale 1, there is no guidance and one pass a step. */
  readonly unconditional?: Condition | undefined;
  /** How far to go from the empty condition towards the condition. */
  readonly scale: number;
  /** InstructPix2Pix: the image without the text, and how far to go towards it. `unconditional` then lacks both. */
  readonly image?: { readonly condition: Condition; readonly scale: number } | undefined;
}

/** The conditions of several passes as those of one larger batch. */
function stack(conditions: readonly [Condition, ...Condition[]]): Condition {
  const all = (pick: (condition: Condition) => Tensor<'float32'> | undefined): Tensor<'float32'> | undefined => {
    const [first, ...rest] = conditions.flatMap((condition) => pick(condition) ?? []);
    return first && concatenate([first, ...rest], 0);
  };
  const context = all((condition) => condition.context);
  const concat = all((condition) => condition.concat);
  const labels = conditions.flatMap(({ y }) => (y ? [...y.data] : []));
  return {
    ...(context ? { context } : {}),
    ...(concat ? { concat } : {}),
    ...(labels.length > 0 ? { y: tensor('int64', [labels.length], BigInt64Array.from(labels)) } : {}),
  };
}

/** from + scale (to - from), rounded after each operation as float32 tensors are. */
function towards(from: Latent, scale: number, to: Latent): Latent {
  return addScaled(from, scale, addScaled(to, -1, from));
}

/** The network under guidance. */
export function guidedModel(network: ConditionedNetwork, options: GuidanceOptions): DiffusionModel {
  const { schedule, parameterization, condition, unconditional, scale, image } = options;
  const run: ConditionedNetwork = (x, timestep, given, signal) => network(given.concat ? concatenate([x, given.concat], 1) : x, timestep, given, signal);
  const passes = async (x: Latent, timestep: number, conditions: readonly [Condition, ...Condition[]], signal?: AbortSignal): Promise<Latent[]> => {
    const [batch = 1] = x.shape;
    const copies: [Latent, ...Latent[]] = [x, ...conditions.slice(1).map(() => x)];
    const output = await run(concatenate(copies, 0), timestep, stack(conditions), signal);
    return conditions.map((_, i) => takeBatch(output, i * batch, (i + 1) * batch));
  };
  return {
    schedule,
    parameterization,
    async predict(x, timestep, signal) {
      if (image && unconditional) {
        const [none, picture, full] = await passes(x, timestep, [unconditional, image.condition, condition], signal);
        if (none && picture && full) return addScaled(towards(none, image.scale, picture), scale, addScaled(full, -1, picture));
      }
      if (!unconditional || scale === 1) return run(x, timestep, condition, signal);
      const [without, within] = await passes(x, timestep, [unconditional, condition], signal);
      return without && within ? towards(without, scale, within) : run(x, timestep, condition, signal);
    },
  };
}
