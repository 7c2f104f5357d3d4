/**
 * The random numbers of a run, in the order of CompVis's scripts: what a batch's start draws (the posterior of an initial image), its start
 * noise, its steps. CompVis's stream continues from batch to batch; the other programs seed each batch by its index.
 */

import type { Batch } from '../generation/batches.ts';
import { seedOf } from '../random/plain-seed.ts';
import { createNoise } from '../random/create-noise.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { offsetSeed } from '../random/seed.ts';
import { takeBatch } from '../tensor/batches.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { RunPlan } from './plan-run.ts';

export interface NoiseStream {
  /** True if a batch's noise depends on earlier draws. */
  readonly goesOn: boolean;
  /** The noise of a batch. */
  of(batch: Batch): SeededNoise;
  /** The start noise of a batch, drawn after all that its start draws. */
  startNoise(batch: Batch): Tensor<'float32'>;
}

export function noiseStream({ request, inputs, batches, start, shapeOf }: RunPlan): NoiseStream {
  const { noise: convention, seed, seeds, noiseSettings, fixedCode } = request;
  const { subseed, ...settings } = noiseSettings ?? {};
  const create = (offset: number): SeededNoise =>
    createNoise({
      ...settings,
      ...(subseed === undefined ? {} : { subseed: seedOf(subseed) }),
      convention,
      seed: offset === 0 ? seedOf(seed) : offsetSeed(seedOf(seed), offset),
      ...(seeds ? { seeds: seeds.map(seedOf) } : {}),
    });
  let noise = create(0);
  const code = inputs.startNoise ?? (fixedCode ? noise.normal(shapeOf(batches.largest)) : undefined);
  const goesOn = convention === 'compvis';
  return {
    goesOn,
    of({ iteration, picturesBefore }) {
      if (iteration > 1 && !goesOn) noise = create(picturesBefore);
      return noise;
    },
    startNoise({ batch }) {
      const shape = shapeOf(batch);
      const whole = code ?? start.firstNoise?.(shape) ?? noise.normal(shape);
      return whole.shape[0] === batch ? whole : takeBatch(whole, 0, batch);
    },
  };
}
