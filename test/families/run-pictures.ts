/** Runs a request of several pictures through the public pipeline, each picture alone with its share of the recorded noise. */

import type { TaskOptions } from '../../src/generation/inputs.ts';
import type { Model } from '../../src/model/model.ts';
import { splitOptions } from '../../src/generation/split-options.ts';
import { planRun } from '../../src/pipelines/plan-run.ts';
import type { BatchStart } from '../../src/pipelines/start.ts';
import { generate } from '../../src/pipelines/generate.ts';
import type { NoiseConvention } from '../../src/random/noise-source.ts';
import { joinBatches, takeBatch } from '../../src/tensor/batches.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';

type Float32 = Tensor<'float32'>;

export interface RecordedNoise {
  /** Every draw in order, flattened. */
  readonly draws: Tensor | undefined;
  readonly shapes: readonly (readonly number[])[];
}

/** The draws of one picture of `count`: its item of those of the whole batch, and those of one item, which all pictures share. */
function drawsOf({ draws, shapes }: RecordedNoise, picture: number, convention: NoiseConvention) {
  const data = draws?.data as Float32Array | undefined;
  const offsets = shapes.map((_, i) => shapes.slice(0, i).reduce((sum, shape) => sum + elementCount(shape), 0));
  let next = 0;
  return {
    convention,
    normal(wanted: readonly number[]): Float32 {
      const shape = shapes[next];
      const at = offsets[next] ?? 0;
      next += 1;
      if (!shape || !data) throw new Error('The run draws more noise than was recorded.');
      const size = elementCount(wanted);
      if (size !== elementCount(shape.slice(1)))
        throw new Error(`The run draws [${wanted.join()}], and [${shape.join()}] was recorded.`);
      const item = shape[0] === 1 ? 0 : picture;
      return float32([...wanted], data.slice(at + item * size, at + (item + 1) * size));
    },
    used: () => next,
  };
}

export interface MadeStep {
  readonly sigma: number;
  readonly latent: Float32;
}

export interface MadePictures {
  readonly latents: Float32;
  readonly steps: readonly MadeStep[];
  /** Draws that a picture used. */
  readonly used: number;
}

export interface Pictures {
  readonly count: number;
  readonly start?: Float32 | undefined;
  readonly noise: RecordedNoise;
  readonly convention: NoiseConvention;
  /** The options of each picture. */
  readonly options: (picture: number) => object;
}

/** What a picture's start is made of: `concat`, further inputs, the initial latent. */
export async function startOfPicture(model: Model, { noise, convention, options }: Pictures): Promise<BatchStart> {
  const source = drawsOf(noise, 0, convention);
  const request = { ...smallest, noise: convention, noiseSource: source, ...options(0) };
  const plan = await planRun(model, splitOptions(request as unknown as TaskOptions));
  const seeded = { ...source, interval: () => () => source.normal(plan.shapeOf(1)) };
  return (await plan.start.prepare?.(seeded, 1, () => source.normal(plan.shapeOf(1)))) ?? {};
}

const smallest = { watermark: false, safety: false } as const;

export async function runPictures(
  model: Model,
  { count, start, noise, convention, options }: Pictures,
  /** Stop after so many steps; the latents are then those of the last one. */
  most = Number.POSITIVE_INFINITY,
): Promise<MadePictures> {
  const steps: MadeStep[][] = [];
  const latents: Float32[] = [];
  let used = 0;
  for (let picture = 0; picture < count; picture++) {
    const source = drawsOf(noise, picture, convention);
    const own: MadeStep[] = [];
    const request = {
      ...smallest,
      noise: convention,
      noiseSource: source,
      ...(start ? { startNoise: takeBatch(start, picture, picture + 1) } : {}),
      ...options(picture),
    };
    for await (const event of generate(model, request as unknown as TaskOptions)) {
      if (event.kind === 'step') {
        own.push({ sigma: event.sigma, latent: event.latent });
        if (own.length < most) continue;
        latents.push(event.latent);
        break;
      }
      if (event.kind === 'result') latents.push(event.latents);
    }
    steps.push(own);
    used = source.used();
  }
  const [first = []] = steps;
  return {
    latents: joinBatches(latents),
    steps: first.map(({ sigma }, i) => ({
      sigma,
      latent: joinBatches(steps.flatMap((own) => own[i]?.latent ?? [])),
    })),
    used,
  };
}
