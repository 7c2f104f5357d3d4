/** EDM: preconditioning, samplers, loss. */

import {
  elucidatedDenoise,
  type ElucidatedNetwork,
  elucidatedSigmas,
  elucidatedWeight,
  preconditioning,
  sampleElucidated,
  sampleElucidatedDpm,
  trainingSigma,
} from '../../../src/diffusion/elucidated.ts';
import { linearOf, apply, toUnit, fromUnit, numbers, type Compare } from './linear.ts';

export const elucidated: Compare = async function* (recorded) {
  const { steps, dpmpp_steps, scale: timeScale } = recorded.settings;
  const sigmas = Array.from(recorded.input('sigma').data);
  const factors = sigmas.map((sigma) => preconditioning(sigma));
  yield recorded.compare('c_in', numbers(factors.map((f) => f.in)));
  yield recorded.compare('c_out', numbers(factors.map((f) => f.out)));
  yield recorded.compare('c_skip', numbers(factors.map((f) => f.skip)));
  yield recorded.compare('c_noise', numbers(factors.map((f) => f.noise)));
  yield recorded.compare('loss_weight', numbers(sigmas.map((sigma) => elucidatedWeight(sigma))));
  yield recorded.compare('schedule', numbers(elucidatedSigmas(steps)));
  for (const name of recorded.outputs.keys()) {
    const count = /^schedule_(\d+)$/.exec(name)?.[1];
    if (count) yield recorded.compare(name, numbers(elucidatedSigmas(Number(count))));
  }
  const pictures = fromUnit(recorded.input('pictures'));
  for (const kind of ['plain', 'self']) {
    const net = await linearOf(recorded, `${kind}.`);
    const isSelf = kind === 'self';
    const network: ElucidatedNetwork = async (x, noise, before) =>
      apply(net, x, noise, timeScale, isSelf ? before : undefined);
    if (kind === 'plain') {
      const x = recorded.input('x');
      yield recorded.compare('denoised', await elucidatedDenoise(network, x, sigmas));
      yield recorded.compare('denoised_clamped', await elucidatedDenoise(network, x, sigmas, { clamp: true }));
    }
    for (const [name, clips] of [
      ['heun', true],
      ['heun_unclamped', false],
    ] as const) {
      let draws = 0;
      const made = await sampleElucidated(network, recorded.input('x_T'), {
        steps,
        clamp: clips,
        selfCondition: isSelf,
        noise: () => recorded.noise(draws++),
      });
      yield recorded.compare(`${kind}.${name}`, toUnit(made));
    }
    yield recorded.compare(
      `${kind}.dpmpp`,
      toUnit(await sampleElucidatedDpm(network, recorded.input('x_T'), { steps: dpmpp_steps })),
    );
    const losses = async (at: readonly number[]): Promise<number[]> => {
      const size = pictures.data.length / at.length;
      const noise = recorded.noise(0);
      const noised = {
        ...pictures,
        data: Float32Array.from(
          pictures.data,
          (value, i) => value + (at[Math.floor(i / size)] as number) * (noise.data[i] as number),
        ),
      };
      const before = isSelf ? await elucidatedDenoise(network, noised, at) : undefined;
      const guess = await elucidatedDenoise(network, noised, at, { before });
      return at.map((sigma, item) => {
        let error = 0;
        for (let i = item * size; i < (item + 1) * size; i++)
          error += ((guess.data[i] as number) - (pictures.data[i] as number)) ** 2 / size;
        return error * elucidatedWeight(sigma);
      });
    };
    yield recorded.compare(`${kind}.losses`, numbers(await losses(sigmas)));
    const drawn = await losses(Array.from(recorded.input('normal').data, (normal) => trainingSigma(normal)));
    yield recorded.compare(`${kind}.loss_drawn`, numbers([drawn.reduce((a, b) => a + b, 0) / drawn.length], []));
  }
};
