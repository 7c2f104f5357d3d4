/** Options of CompVis's DDIM: temperature, guidance, correction, dropped noise, masks, subsets of the steps, encoding and decoding. */

import type { Latent } from '../../../src/diffusion/denoiser.ts';
import { keepAtTimestep, qSample } from '../../../src/diffusion/inpainting.ts';
import { ddimSteps } from '../../../src/diffusion/timesteps.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { compareRun, type DdimCase, ddimCase } from '../ddim-case.ts';
import { fittedArguments } from '../fitted.ts';
import { lineageReader } from '../lineage-reader.ts';
import type { Comparison } from '../reader.ts';

/** Where the search for arguments begins that the index does not state. */
const guess = { temperature: 0.4, decodeScale: 1.7, originalStepsEta: 0.7 } as const;

export const reader = lineageReader([
  [
    /^DDIMSampler: noise_dropout/,
    async function* (recorded) {
      const one = await ddimCase(recorded);
      yield recorded.compare('ddim_timesteps', {
        dtype: 'int64',
        shape: [one.timesteps.length],
        data: BigInt64Array.from(one.timesteps, BigInt),
      });
      yield* plainRuns(one);
      yield* revisedRuns(one);
      yield* subsets(one);
      yield* repeatedNoise(one);
      yield* encodings(one);
      yield* originalSteps(one);
    },
  ],
]);

const scalar = (value: number): Tensor => ({ dtype: 'int64', shape: [], data: BigInt64Array.of(BigInt(value)) });

async function* plainRuns({ recorded, steps, run, guidedBy }: DdimCase): AsyncGenerator<Comparison> {
  const { settings } = recorded;
  yield* compareRun(recorded, 'plain', await run(steps));
  yield* compareRun(recorded, 'eta0', await run(steps, { eta: 0 }));
  const [temperature = 1] = await fittedArguments(
    [settings.temperature ?? guess.temperature],
    async ([own]) => (await run(steps, { temperature: own })).x,
    pick(recorded.outputs, 'temperature.x'),
  );
  yield* compareRun(recorded, 'temperature', await run(steps, { temperature }));
  yield* compareRun(recorded, 'guided', await run(steps, { eta: 0 }, guidedBy(settings.guidance)));
  for (const name of recorded.outputs.keys()) {
    const every = Number(/^log_every_(\d+)\.x$/.exec(name)?.[1]);
    if (!every) continue;
    yield* compareRun(recorded, `log_every_${every}`, await run(steps), (i) => {
      const index = steps.length - i;
      return index % every === 0 || index === steps.length - 1;
    });
  }
}

/** Runs whose predictions, noise or states are changed on the way. */
async function* revisedRuns({ recorded, schedule, steps, run }: DdimCase): AsyncGenerator<Comparison> {
  const { corrector_strength, noise_dropout } = recorded.settings;
  // "(0.4 - x)"
  const centre = Number(/\((\S+) - x\)/.exec(recorded.row.notes.join('\n'))?.[1]);
  const correctEps = (eps: Latent, x: Latent, _: number, alphaBar: number): Latent => ({
    ...eps,
    data: eps.data.map(
      (value, i) => value - corrector_strength * Math.sqrt(1 - alphaBar) * (centre - (x.data[i] as number)),
    ),
  });
  yield* compareRun(recorded, 'corrected', await run(steps, { correctEps }));
  let dropped = 0;
  const keepMasks = recorded.tensor('dropout_keep');
  const reviseNoise = (noise: Latent): Latent => {
    const base = dropped++ * noise.data.length;
    return {
      ...noise,
      data: noise.data.map((value, i) => (Number(keepMasks.data[base + i]) ? value / (1 - noise_dropout) : 0)),
    };
  };
  yield* compareRun(recorded, 'noise_dropout', await run(steps, { reviseNoise }));
  const mask = recorded.input('mask');
  let own = 0;
  const noise = (): Latent => recorded.noise(own++);
  const beforeStep = (x: Latent, t: number): Latent =>
    keepAtTimestep(schedule, { mask, latent: recorded.input('x0') }, x, t, noise());
  yield* compareRun(recorded, 'masked', await run(steps, { beforeStep, noise }));
}

/** Steps of a subset of the timesteps. */
async function* subsets({ recorded, steps, run }: DdimCase): AsyncGenerator<Comparison> {
  const count: number = recorded.settings.steps;
  for (const output of recorded.outputs.keys()) {
    const name = /^(subset\w*)\.count$/.exec(output)?.[1];
    if (!name) continue;
    // How many were asked for is not stated. One step less is made: k / S of the steps, less one.
    const stepsOf = (asked: number): number => Math.trunc(Math.min(asked / count, 1) * count) - 1;
    const made = Number(pick(recorded.outputs, output).data[0]);
    const asked = Array.from({ length: count }, (_, i) => i + 1).find((one) => stepsOf(one) === made) ?? count;
    const kept = stepsOf(asked);
    const cut = steps.slice(steps.length - kept);
    yield recorded.compare(`${name}.count`, scalar(kept));
    yield recorded.compare(`${name}.x`, (await run(cut)).x);
  }
}

/** One draw for the whole batch. */
async function* repeatedNoise({ recorded, steps, run }: DdimCase): AsyncGenerator<Comparison> {
  const single = recorded.input('single_noise');
  const shape = recorded.input('x_T').shape;
  const size = single.data.length / (single.shape[0] ?? 1);
  let draws = 0;
  const repeated = (): Latent => {
    const one = single.data.slice(draws * size, (draws + 1) * size);
    draws++;
    return float32(shape, Array.from({ length: shape[0] ?? 1 }, () => [...one]).flat());
  };
  const first = await run(steps.slice(0, 1), { noise: repeated });
  yield recorded.compare('repeat_noise.x', first.x);
  yield recorded.compare('repeat_noise.pred_x0', first.guesses.at(-1));
}

/** Noised by q, and brought back by DDIM over its own steps. */
async function* encodings({ recorded, schedule, timesteps, run, guidedBy }: DdimCase): AsyncGenerator<Comparison> {
  const index: number = recorded.settings.encode_index;
  const encoded = qSample(schedule, recorded.input('x0'), timesteps[index] as number, recorded.noise(0));
  yield recorded.compare('encode.x', encoded);
  const own = ddimSteps(schedule, timesteps).slice(timesteps.length - index);
  const decode = async (scale = 1): Promise<Latent> => (await run(own, { eta: 0 }, guidedBy(scale), encoded)).x;
  const want = pick(recorded.outputs, 'decode.x');
  const [scale] = await fittedArguments([guess.decodeScale], ([one]) => decode(one), want);
  yield recorded.compare('decode.x', await decode(scale));
}

/** The same over all trained steps. */
async function* originalSteps({ recorded, schedule, run }: DdimCase): AsyncGenerator<Comparison> {
  const { original_index: index, original_timesteps: count, T } = recorded.settings;
  const bar = (t: number): number => (t < 0 ? 1 : schedule.alphaBarAt(t));
  const all = Array.from({ length: T }, (_, t) => ({ timestep: t, alphaBar: bar(t), alphaBarPrev: bar(t - 1) }));
  const encoded = qSample(schedule, recorded.input('x0'), index, recorded.noise(0));
  yield recorded.compare('encode_original.x', encoded);
  const down = all.slice(0, index).reverse();
  yield recorded.compare('decode_original.x', (await run(down, { eta: 0 }, undefined, encoded)).x);
  yield recorded.compare('original_steps.count', scalar(T));
  yield recorded.compare('original_steps.x', (await run([...all].reverse(), { eta: 0 })).x);
  const some = all.slice(0, count).reverse();
  yield recorded.compare('original_steps_eta.count', scalar(count));
  const withEta = async (eta = 0): Promise<Latent> => (await run(some, { eta })).x;
  const want = pick(recorded.outputs, 'original_steps_eta.x');
  const [eta] = await fittedArguments([guess.originalStepsEta], ([one]) => withEta(one), want);
  yield recorded.compare('original_steps_eta.x', await withEta(eta));
}
