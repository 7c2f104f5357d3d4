/**
 * The random numbers of a run, in the order of CompVis's scripts: what a batch's start draws (the posterior of an initial image), its start
 * noise, its steps. CompVis's stream continues from batch to batch; the other programs seed each batch by its index.
 */

import type { Batch } from '../generation/batches.ts';
import { seedOf } from '../random/plain-seed.ts';
import { createNoise } from '../random/create-noise.ts';
import type { GivenNoise } from '../generation/inputs.ts';
import type { GenerationRequest } from '../generation/request.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { offsetSeed } from '../random/seed.ts';
import { scale } from '../tensor/arithmetic.ts';
import { takeBatch } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RunPlan } from './plan-run.ts';

export interface NoiseStream {
  /** True if a batch's noise depends on earlier draws. */
  readonly goesOn: boolean;
  /** The noise of a batch. */
  of(batch: Batch): SeededNoise;
  /** The start noise of a batch: drawn at the first call of what is returned. */
  startNoise(batch: Batch): () => Tensor<'float32'>;
}

/** A caller's source as a seeded one: noise over an interval is drawn like any other. */
function asSeeded(given: GivenNoise): SeededNoise {
  const { convention } = given;
  return {
    convention,
    normal: (shape) => given.normal(shape),
    interval: (shape, least, greatest) =>
      given.interval ? given.interval(shape, least, greatest) : () => given.normal(shape),
  };
}

/** The noise of a request's seeds, or of those `offset` pictures later. */
export function requestNoise(
  { noise: convention, seed, seeds, noiseSettings }: GenerationRequest,
  offset = 0,
): SeededNoise {
  const { subseed, ...settings } = noiseSettings ?? {};
  return createNoise({
    ...settings,
    ...(subseed === undefined ? {} : { subseed: seedOf(subseed) }),
    convention,
    seed: offset === 0 ? seedOf(seed) : offsetSeed(seedOf(seed), offset),
    ...(seeds ? { seeds: seeds.map(seedOf) } : {}),
  });
}

export function noiseStream({ request, inputs, batches, start, shapeOf }: RunPlan): NoiseStream {
  const { noise: convention, fixedCode } = request;
  const create = (offset: number): SeededNoise => requestNoise(request, offset);
  const given = inputs.noiseSource && asSeeded(inputs.noiseSource);
  let noise = given ?? create(0);
  const factor = request.task === 'txt2img' ? 1 : (request.initialNoise ?? 1);
  const code = inputs.startNoise ?? (fixedCode ? noise.normal(shapeOf(batches.largest)) : undefined);
  const goesOn = convention === 'compvis';
  return {
    goesOn,
    of({ iteration, picturesBefore }) {
      if (iteration > 1 && !goesOn && !given) noise = create(picturesBefore);
      return noise;
    },
    startNoise({ batch }) {
      let drawn: Tensor<'float32'> | undefined;
      return () => {
        const shape = shapeOf(batch);
        const whole = code ?? drawn ?? start.firstNoise?.(shape) ?? noise.normal(shape);
        drawn = whole;
        const taken = whole.shape[0] === batch ? whole : takeBatch(whole, 0, batch);
        return factor === 1 ? taken : scale(taken, factor);
      };
    },
  };
}
