/** Guidance along a direction, rescaled and with thresholds, in DDIM. */

import { gaussianProcess, type Pixels } from '../../../src/diffusion/gaussian/index.ts';
import { guideByDirection, projected } from '../../../src/diffusion/guidance-directions.ts';
import { lucidDdimTimes } from '../../../src/diffusion/lucid-process.ts';
import { lucidBetas, type LucidSchedule } from '../../../src/diffusion/lucid-schedules.ts';
import type { Parameterization } from '../../../src/diffusion/objective.ts';
import { clamp, linearCombination, scale } from '../../../src/tensor/arithmetic.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { pick } from '../../tensors.ts';
import { fittedArguments } from '../fitted.ts';
import type { LineageCase } from '../lineage-case.ts';
import { linearOf, apply, toUnit, kinds, type Compare } from './linear.ts';

/** Pixels with a row of the table added to the channels of each item. */
function withRow(x: Pixels, table: Tensor, of: (item: number) => number): Pixels {
  const [, c = 1, h = 1, w = 1] = x.shape;
  const added = (i: number): number =>
    Number(table.data[of(Math.floor(i / (c * h * w))) * c + (Math.floor(i / (h * w)) % c)]);
  return { ...x, data: x.data.map((value, i) => value + added(i)) };
}

export const guidance: Compare = async function* (recorded) {
  const { settings: given } = recorded;
  const { T, schedule, sampling_timesteps: few, eta, cond_scale: guidanceScale, rescaled_phi: phi } = given;
  const timeScale = given.scale ?? 1000;
  const net = await linearOf(recorded, 'net.');
  const emb = await recorded.weights().read('emb');
  const [a, b] = [recorded.input('a'), recorded.input('b')];
  const { parallel, orthogonal } = projected(a, b);
  yield recorded.compare('project.parallel', parallel);
  yield recorded.compare('project.orthogonal', orthogonal);
  const classes = Array.from(recorded.tensor('classes').data, Number);
  // "null pass: net(0.9 x) + emb[3]"
  const [, share, nullRow] = /null pass: net\((\S+) x\) \+ emb\[(\d+)\]/.exec(recorded.row.notes.join('\n')) ?? [];
  if (!nullRow) throw new Error('the null pass is not stated');
  const withClass = (x: Pixels, of: (item: number) => number): Pixels => withRow(x, emb, of);
  const passes = (x: Pixels, told: readonly number[]): readonly [Pixels, Pixels] => [
    withClass(apply(net, x, told, timeScale), (item) => classes[item] as number),
    withClass(apply(net, scale(x, Math.fround(Number(share))), told, timeScale), () => Number(nullRow)),
  ];
  const x = recorded.input('x_T');
  const at = (t: number): readonly [Pixels, Pixels] =>
    passes(
      x,
      classes.map(() => t),
    );
  const guidedOf = (name: string, [conditional, unconditional]: readonly [Pixels, Pixels], fraction = 0): Pixels => {
    if (name.endsWith('.null')) return unconditional;
    const settings: Readonly<Record<string, readonly [number, number]>> = {
      'guided.default': [0, 0],
      'guided.keep_parallel': [1, 0],
      'guided.keep_frac': [fraction, 0],
      'guided.rescaled': [0, phi],
      'guided.rescaled_plain': [1, phi],
    };
    const [keepParallel, rescale] = settings[name] ?? [0, 0];
    return guideByDirection(conditional, unconditional, { scale: guidanceScale, keepParallel, rescale });
  };
  // The timestep and the share of the parallel part need not be stated.
  const want = (name: string): Tensor => pick(recorded.outputs, name);
  const [near = 0] = await fittedArguments(
    [recorded.settings.t ?? 7],
    ([one = 0]) => guidedOf('guided.default', at(one)),
    want('guided.default'),
  );
  const t = Math.round(near);
  const [fraction] = await fittedArguments(
    [recorded.settings.keep_parallel_frac ?? 0.25],
    ([one]) => guidedOf('guided.keep_frac', at(t), one),
    want('guided.keep_frac'),
  );
  for (const name of recorded.outputs.keys())
    if (name.startsWith('guided.')) yield recorded.compare(name, guidedOf(name, at(t), fraction));
  for (const [kind, objective] of Object.entries(kinds))
    for (const plus of ['plain', 'plus_plus']) {
      const name = `${kind}.${plus}.ddim`;
      if (recorded.outputs.has(name))
        yield recorded.compare(
          name,
          guidedDdim(recorded, passes, {
            objective,
            plus: plus === 'plus_plus',
            T,
            schedule,
            few,
            eta,
            guidanceScale,
            rescale: phi,
          }),
        );
    }
};

interface GuidedDdim {
  readonly objective: Parameterization;
  readonly plus: boolean;
  readonly T: number;
  readonly schedule: LucidSchedule;
  readonly few: number;
  readonly eta: number;
  readonly guidanceScale: number;
  readonly rescale: number;
}

function guidedDdim(
  recorded: LineageCase,
  passes: (x: Pixels, told: readonly number[]) => readonly [Pixels, Pixels],
  options: GuidedDdim,
): Pixels {
  const { objective, plus, T, schedule, few, eta, guidanceScale, rescale } = options;
  const process = gaussianProcess({ betas: lucidBetas[schedule](T) });
  const bars = process.tables.alphasCumprod;
  const times = lucidDdimTimes(T, few).toReversed();
  let x = recorded.input('x_T');
  for (const [i, t] of times.entries()) {
    const alphaBar = bars[t] as number;
    const [alpha, sigma] = [Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar)];
    const [conditional, unconditional] = passes(x, new Array<number>(x.shape[0] ?? 1).fill(t));
    const guided = guideByDirection(conditional, unconditional, { scale: guidanceScale, rescale });
    const ofX0 = (output: Pixels): Pixels =>
      objective === 'x0'
        ? output
        : objective === 'v'
          ? linearCombination([alpha, x], [-sigma, output])
          : linearCombination([1 / alpha, x], [-sigma / alpha, output]);
    const ofNoise = (x0: Pixels): Pixels => linearCombination([1 / sigma, x], [-alpha / sigma, x0]);
    const x0 = clamp(ofX0(guided), -1, 1);
    const basis = plus ? unconditional : guided;
    const noise = objective === 'eps' ? basis : ofNoise(plus ? clamp(ofX0(basis), -1, 1) : x0);
    const next = times[i + 1];
    if (next === undefined) {
      x = x0;
      break;
    }
    const nextBar = bars[next] as number;
    const deviation = eta * Math.sqrt(((1 - alphaBar / nextBar) * (1 - nextBar)) / (1 - alphaBar));
    x = linearCombination(
      [Math.sqrt(nextBar), x0],
      [Math.sqrt(1 - nextBar - deviation ** 2), noise],
      [deviation, recorded.noise(i)],
    );
  }
  return toUnit(x);
}
