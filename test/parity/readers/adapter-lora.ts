/** LoRA against PyTorch: training as diffusers and PEFT do it, its files in both layouts, and the trained LoRA in the UNet. */

import { join } from 'node:path';
import { openLora } from '../../../src/adapters/lora/lora-file.ts';
import { readFactors } from '../../../src/adapters/lora/read-factors.ts';
import { withLora } from '../../../src/adapters/lora/with-lora.ts';
import { type LoraFactors, loraTensors } from '../../../src/adapters/lora/write-lora.ts';
import type { UNetConfig } from '../../../src/config/network-config.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { traceAdapterLoss, unetPrefix } from '../../../src/training/adapt/adapter-loss.ts';
import { withLoraPaths } from '../../../src/training/adapt/lora-graph.ts';
import { loraPaths } from '../../../src/training/adapt/lora-targets.ts';
import { createTrainStep } from '../../../src/training/step/create-train-step.ts';
import type { TrainStep } from '../../../src/training/step/train-step.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { joined, withPrefix } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { maxDifference } from '../../parity.ts';
import { readTensors } from '../../tensors.ts';
import { adapterReader, diffusion, inUNet, unetOf } from '../adapter-case.ts';
import type { Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { IndexRow, RecordedCase } from '../reader.ts';
import { compareOutputs, entryOf, type TrainingCase, vector } from '../training-case.ts';

type Shapes = ReadonlyMap<string, readonly number[]>;

export const reader = adapterReader(/^PEFT LoRA/, async (one, compare, recorded) => {
  const { unet, unetWeights } = unetOf(recorded, one);
  const shapes: Shapes = new Map([...unetWeights.entries].map(([name, { shape }]) => [name, shape]));
  const start = await factorsOf(recorded, /start\.diffusers/, unet, shapes);
  await using step = await createLoraStep(one, compare, unet, unetWeights, start);
  const { losses, norms, firstGradients } = await trainOn(one, step);
  const trained = await trainedFactors(one, step, start);
  await compareFiles(recorded, unet, shapes, compare);
  const written = loraTensors(trained, { layout: 'diffusers', unet });
  const out = await outputOf(one, unet, withLora(unetWeights, unet, [{ lora: openLora(memoryWeights(written)) }]));
  const factorByModule = new Map(start.map((factor) => [diffusersModule(factor, unet), factor]));
  compareOutputs(one, compare, (name) => {
    if (name === 'losses') return vector(losses);
    if (name === 'grad_norms') return vector(norms);
    if (name === 'final_output') return out;
    if (name.startsWith('lora.')) return written.get(name.slice('lora.'.length));
    const module = /^first_grad\.(.+)\.lora_B\.weight$/.exec(name)?.[1];
    const factor = module === undefined ? undefined : factorByModule.get(module);
    return factor && firstGradients.get(`${moduleOf(factor)}.lora_up.weight`);
  });
});

/** The layer of a factor, as the trained graph names it. */
const moduleOf = ({ tensor }: LoraFactors): string => inUNet(tensor).replace(/\.weight$/, '');

/** The layer of a factor, as diffusers names it. */
const diffusersModule = (factor: LoraFactors, unet: UNetConfig): string =>
  [...loraTensors([{ ...factor }], { layout: 'diffusers', unet }).keys()][0]
    ?.replace(/^unet\./, '')
    .replace(/\.lora\.down\.weight$/, '') ?? '';

/** The row's file whose name has this pattern. */
function fileOf({ setFolder, row }: { readonly setFolder: string; readonly row: IndexRow }, pattern: RegExp): string {
  return join(setFolder, (row['files'] as readonly string[]).find((file) => pattern.test(file)) ?? '');
}

async function factorsOf(
  recorded: RecordedCase,
  pattern: RegExp,
  unet: UNetConfig,
  shapes: Shapes,
): Promise<readonly LoraFactors[]> {
  const source = await openWeightsAt(fileOf(recorded, pattern));
  const factors = await readFactors(openLora(source), [unet], (_, name) => shapes.get(name));
  await source.close();
  return factors;
}

async function createLoraStep(
  { settings }: TrainingCase,
  compare: Comparisons,
  unet: UNetConfig,
  unetWeights: WeightSource,
  start: readonly LoraFactors[],
): Promise<TrainStep> {
  const { rank, lora_alpha, weight_decay, clip } = settings as Record<string, number>;
  const paths = loraPaths([...unetWeights.entries.values()], `${unetPrefix}.`, {
    rank: rank as number,
    alpha: lora_alpha as number,
    targets: ['attention'],
  });
  compare.exact(
    'adapted layers',
    paths.map(({ weight }) => weight).sort(),
    start.map(({ tensor }) => inUNet(tensor)).sort(),
  );
  const factors = new Map(
    start.flatMap((factor): [string, Tensor][] => [
      [`${moduleOf(factor)}.lora_down.weight`, factor.down],
      [`${moduleOf(factor)}.lora_up.weight`, factor.up],
    ]),
  );
  const step = await createTrainStep({
    engine: parityEngine(),
    graph: withLoraPaths(traceAdapterLoss({ unet, diffusion }), paths),
    weights: joined([withPrefix(unetWeights, `${unetPrefix}.`), memoryWeights(factors)]),
    treatment: (name) => (factors.has(name) ? { weightDecay: weight_decay as number } : 'fixed'),
    clipNorm: clip as number,
  });
  compare.exact('trained parameters', [...step.trained].sort(), [...factors.keys()].sort());
  return step;
}

async function trainOn(one: TrainingCase, step: TrainStep) {
  const { lr, steps } = one.settings as Record<string, number>;
  const [losses, norms]: [number[], number[]] = [[], []];
  const firstGradients = new Map<string, Tensor>();
  for (let i = 0; i < (steps as number); i++) {
    const input = (name: string): Tensor => entryOf(one.input(name), i);
    const batch = { x0: input('x0'), noise: input('noise'), t: input('t'), context: input('context') };
    const { loss, gradientNorm } = await step.run(batch, { learningRate: lr as number });
    losses.push(loss);
    norms.push(gradientNorm);
    if (i === 0)
      for (const [name, value] of Object.entries<Tensor>(await step.gradients())) firstGradients.set(name, value);
  }
  return { losses, norms, firstGradients };
}

async function trainedFactors(
  { settings }: TrainingCase,
  step: TrainStep,
  start: readonly LoraFactors[],
): Promise<readonly LoraFactors[]> {
  const now = await step.parameters();
  return start.map((factor) => ({
    ...factor,
    alpha: Number(settings['lora_alpha']),
    down: now[`${moduleOf(factor)}.lora_down.weight`] as Tensor<'float32'>,
    up: now[`${moduleOf(factor)}.lora_up.weight`] as Tensor<'float32'>,
  }));
}

/** What the UNet with the trained LoRA merged into its weights, as it will be used, makes of the first batch. */
async function outputOf(one: TrainingCase, unet: UNetConfig, merged: WeightSource): Promise<Tensor | undefined> {
  const input = (name: string): Tensor => entryOf(one.input(name), 0);
  const program = await parityEngine().compile(traceUNet(unet), merged);
  const { out } = await program.run({
    x: noisy(input('x0'), input('noise'), input('t')),
    timesteps: float32([2], Array.from(input('t').data as BigInt64Array, Number)),
    context: input('context'),
  });
  return out;
}

/** √ᾱ x0 + √(1 - ᾱ) noise. */
function noisy(x0: Tensor, noise: Tensor, t: Tensor): Tensor {
  const { sqrt_alphas_cumprod: signal, sqrt_one_minus_alphas_cumprod: rest } = diffusion.schedule;
  const size = x0.data.length / t.data.length;
  const [a, b] = [x0.data, noise.data] as [Float32Array, Float32Array];
  return float32(
    x0.shape,
    a.map((value, i) => {
      const step = Number(t.data[Math.floor(i / size)]);
      return value * (signal[step] as number) + (b[i] as number) * (rest[step] as number);
    }),
  );
}

/** The factors of the diffusers file, written as kohya, are the kohya file, and the other way. */
async function compareFiles(
  recorded: RecordedCase,
  unet: UNetConfig,
  shapes: Shapes,
  compare: Comparisons,
): Promise<void> {
  for (const [from, to] of [
    ['diffusers', 'kohya'],
    ['kohya', 'diffusers'],
  ] as const) {
    const factors = await factorsOf(recorded, new RegExp(`final\\.${from}`), unet, shapes);
    const wanted = readTensors(fileOf(recorded, new RegExp(`final\\.${to}`)));
    const got = loraTensors(factors, { layout: to, unet });
    const names = new Set([...got.keys(), ...wanted.keys()]);
    const differing = [...names].filter((name) => {
      const [a, b] = [got.get(name), wanted.get(name)];
      return !a || !b || a.dtype !== b.dtype || maxDifference(a, b) !== 0;
    });
    compare.exact(`tensors that differ of the ${to} file made from the ${from} file`, differing, []);
  }
}
