/** Continuous schedules of DPM-Solver: the signal and noise at times, half the logarithm of their ratio, its inverse, and spacings of steps. */

import { noiseSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { type ContinuousTime, continuousTime } from '../../../src/diffusion/solver-time.ts';
import { vpTime } from '../../../src/diffusion/vp-schedules.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { lineageReader } from '../lineage-reader.ts';

export const reader = lineageReader([
  [
    /^NoiseScheduleVP/,
    async function* (recorded) {
      const t = Array.from(recorded.input('t').data);
      const discrete = continuousTime(noiseSchedule(recorded.input('alphas_cumprod').data));
      // "inverse_lambda at 0.9 lambda + 0.05, spacings of 7 steps from T to 1e-3"
      const [, slope, offset, count, least] =
        /inverse_lambda at (\S+) lambda \+ (\S+), spacings of (\d+) steps from T to (\S+)/.exec(
          recorded.row.exercises,
        ) ?? [];
      if (!least) throw new Error('the spacings are not stated');
      for (const name of Object.keys(recorded.settings.T)) {
        const other = recorded.settings[name];
        const kind = name.startsWith('cosine') ? 'cosine' : 'linear';
        const time: ContinuousTime = name.startsWith('discrete')
          ? discrete
          : vpTime(kind, { betaLow: other?.continuous_beta_0, betaHigh: other?.continuous_beta_1 });
        const end = recorded.settings.T[name];
        const at = t.map((value) => time.at(value));
        const values = (list: readonly number[]): Tensor => float32([list.length], [...list]);
        const lambdas = at.map(({ alpha, sigma }) => Math.log(alpha) - Math.log(sigma));
        const made: Readonly<Record<string, Tensor>> = {
          log_alpha: values(at.map(({ alpha }) => Math.log(alpha))),
          alpha: values(at.map(({ alpha }) => alpha)),
          sigma: values(at.map(({ sigma }) => sigma)),
          lambda: values(lambdas),
          inverse_lambda: values(
            lambdas.map((lambda) => time.ofHalfLogSnr(Math.fround(Number(slope) * lambda + Number(offset)))),
          ),
          ...Object.fromEntries(
            (['logSNR', 'time_uniform', 'time_quadratic'] as const).map((spacing) => [
              `steps.${spacing}`,
              values(time.spread(spacing, Number(count), end, Number(least))),
            ]),
          ),
        };
        for (const output of recorded.outputs.keys())
          if (output.startsWith(`${name}.`)) yield recorded.compare(output, made[output.slice(name.length + 1)]);
      }
    },
  ],
]);
