/** Adapters against PyTorch: LoRA (diffusers and PEFT), DreamBooth's prior preservation, textual inversion. */

import { join } from 'node:path';
import { openLora } from '../../../src/adapters/lora/lora-file.ts';
import { readFactors } from '../../../src/adapters/lora/read-factors.ts';
import { withLora } from '../../../src/adapters/lora/with-lora.ts';
import { type LoraFactors, loraTensors } from '../../../src/adapters/lora/write-lora.ts';
import { clipTextConfigSchema, type UNetConfig, unetConfigSchema } from '../../../src/config/network-config.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { float32, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { textPrefix, traceAdapterLoss, unetPrefix } from '../../../src/training/adapt/adapter-loss.ts';
import { withLoraPaths } from '../../../src/training/adapt/lora-graph.ts';
import { loraPaths } from '../../../src/training/adapt/lora-targets.ts';
import { textCondition } from '../../../src/training/adapt/text-condition.ts';
import { withTokenRows } from '../../../src/training/adapt/token-rows.ts';
import { createTrainStep } from '../../../src/training/step/create-train-step.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { joined, withPrefix } from '../../../src/weights/view.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { maxDifference } from '../../parity.ts';
import { readTensors } from '../../tensors.ts';
import { collecting, type Comparisons, listDifference } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { ldmSchedule } from '../loss-unet.ts';
import type { IndexRow, Reader, Recorded, RecordedCase } from '../reader.ts';
import { casesOf } from '../recorded-cases.ts';
import { compareOutputs, entryOf, type TrainingCase, trainingCase } from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => Promise<void>;
/** Kinds by what the row exercises. */
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/^PEFT LoRA/, compareLora],
  [/^prior preservation/, comparePrior],
  [/whole token table/, compareTextualInversion],
];
const kindOf = ({ exercises }: IndexRow) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'adapt' && row['skipped'] === undefined && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(trainingCase(recorded), compare, recorded)),
};

const diffusion = { schedule: ldmSchedule() };
const dotted = (name: string): string => `${unetPrefix}.${name}`;

/** The settings of the case whose network the weights file is. */
function settingsOfWeights({ root, set }: RecordedCase, name: string): Recorded {
  const owner = casesOf(root, set).find(({ row }) => row['case'] === name);
  if (!owner) throw new Error(`no case describes the network of ${name}.weights.safetensors`);
  return owner.row['settings'];
}

/** The UNet that the row's first weights file holds. */
function unetOf(
  recorded: RecordedCase,
  one: TrainingCase,
): { readonly unet: UNetConfig; readonly unetWeights: WeightSource } {
  const name = one.weightsNames[0] ?? '';
  const unet = unetConfigSchema.parse({ kind: 'unet', ...settingsOfWeights(recorded, name) });
  return { unet, unetWeights: memoryWeights(one.weights(name), name) };
}

function fileOf(row: IndexRow, pattern: RegExp): string {
  return (row['files'] as readonly string[]).find((file) => pattern.test(file)) ?? '';
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

async function compareLora(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): Promise<void> {
  const { setFolder, row } = recorded;
  const { unet, unetWeights } = unetOf(recorded, one);
  const unetShapes = new Map([...unetWeights.entries].map(([name, { shape }]) => [name, shape]));
  const { rank, lora_alpha, lr, weight_decay, steps, clip } = one.settings as Record<string, number>;
  const startFile = await openWeightsAt(join(setFolder, fileOf(row, /start\.diffusers/)));
  const start = await readFactors(openLora(startFile), [unet], (_, name) => unetShapes.get(name));
  const parameters = [...unetWeights.entries.values()];
  const paths = loraPaths(parameters, `${unetPrefix}.`, {
    rank: rank as number,
    alpha: lora_alpha as number,
    targets: ['attention'],
  });
  compare.exact(
    'adapted layers',
    paths.map(({ weight }) => weight).sort(),
    start.map(({ tensor: name }) => dotted(name)).sort(),
  );
  const graph = withLoraPaths(traceAdapterLoss({ unet, diffusion }), paths);
  const factors = new Map(
    start.flatMap(({ tensor: name, down, up }) => {
      const module = dotted(name).replace(/\.weight$/, '');
      return [
        [`${module}.lora_down.weight`, down],
        [`${module}.lora_up.weight`, up],
      ] as [string, Tensor][];
    }),
  );
  await using step = await createTrainStep({
    engine: parityEngine(),
    graph,
    weights: joined([withPrefix(unetWeights, `${unetPrefix}.`), memoryWeights(factors)]),
    treatment: (name) => (factors.has(name) ? { weightDecay: weight_decay as number } : 'fixed'),
    clipNorm: clip as number,
  });
  compare.exact('trained parameters', [...step.trained].sort(), [...factors.keys()].sort());
  await startFile.close();
  const [losses, norms]: [number[], number[]] = [[], []];
  const first = new Map<string, Tensor>();
  const input = (name: string, i: number): Tensor => entryOf(one.input(name), i);
  for (let i = 0; i < (steps as number); i++) {
    const batch = { x0: input('x0', i), noise: input('noise', i), t: input('t', i), context: input('context', i) };
    const { loss, gradientNorm } = await step.run(batch, { learningRate: lr as number });
    losses.push(loss);
    norms.push(gradientNorm);
    if (i === 0) for (const [name, value] of Object.entries(await step.gradients())) first.set(name, value);
  }
  const now = await step.parameters();
  const trained = start.map((factor): LoraFactors => {
    const module = dotted(factor.tensor).replace(/\.weight$/, '');
    return {
      ...factor,
      alpha: lora_alpha as number,
      down: now[`${module}.lora_down.weight`] as Tensor<'float32'>,
      up: now[`${module}.lora_up.weight`] as Tensor<'float32'>,
    };
  });
  await compareFiles(recorded, unet, unetShapes, compare);
  const written = loraTensors(trained, { layout: 'diffusers', unet });
  // The trained LoRA merged into the weights, as it will be used.
  const merged = withLora(unetWeights, unet, [{ lora: openLora(memoryWeights(written)) }]);
  const program = await parityEngine().compile(traceUNet(unet), merged);
  const { out } = await program.run({
    x: noisy(input('x0', 0), input('noise', 0), input('t', 0)),
    timesteps: float32([2], Array.from(input('t', 0).data as BigInt64Array, Number)),
    context: input('context', 0),
  });
  const diffusersNames = new Map(
    start.map((factor, i) => [
      [...loraTensors([{ ...factor }], { layout: 'diffusers', unet }).keys()][0]
        ?.replace(/^unet\./, '')
        .replace(/\.lora\.down\.weight$/, '') ?? '',
      i,
    ]),
  );
  compareOutputs(one, compare, (name) => {
    if (name === 'losses') return float32([losses.length], losses);
    if (name === 'grad_norms') return float32([norms.length], norms);
    if (name === 'final_output') return out;
    if (name.startsWith('lora.')) return written.get(name.slice('lora.'.length));
    const module = /^first_grad\.(.+)\.lora_B\.weight$/.exec(name)?.[1];
    const factor = module === undefined ? undefined : start[diffusersNames.get(module) ?? -1];
    return factor && first.get(dotted(factor.tensor).replace(/\.weight$/, '.lora_up.weight'));
  });
}

/** The factors of the diffusers file, written as kohya, are the kohya file, and the other way. */
async function compareFiles(
  { setFolder, row }: RecordedCase,
  unet: UNetConfig,
  shapes: ReadonlyMap<string, readonly number[]>,
  compare: Comparisons,
): Promise<void> {
  for (const [from, to] of [
    ['diffusers', 'kohya'],
    ['kohya', 'diffusers'],
  ] as const) {
    const path = (layout: string): string => join(setFolder, fileOf(row, new RegExp(`final\\.${layout}`)));
    const source = await openWeightsAt(path(from));
    const factors = await readFactors(openLora(source), [unet], (_, name) => shapes.get(name));
    await source.close();
    const wanted = readTensors(path(to));
    const got = loraTensors(factors, { layout: to, unet });
    const names = new Set([...got.keys(), ...wanted.keys()]);
    const differing = [...names].filter((name) => {
      const [a, b] = [got.get(name), wanted.get(name)];
      return !a || !b || a.dtype !== b.dtype || maxDifference(a, b) !== 0;
    });
    compare.exact(`tensors that differ of the ${to} file made from the ${from} file`, differing, []);
  }
}

const instanceRows = (batch: number): Tensor =>
  float32(
    [batch],
    Array.from({ length: batch }, (_, i) => (i < batch / 2 ? 1 : 0)),
  );

/** The loss of instance and class rows. */
async function comparePrior(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): Promise<void> {
  const { unet, unetWeights } = unetOf(recorded, one);
  const graph = traceAdapterLoss({ unet, diffusion, priorWeight: Number(one.settings['prior_loss_weight']) });
  const names = { 'conv_in.weight': dotted('input_blocks.0.0.weight'), 'conv_out.weight': dotted('out.2.weight') };
  const program = await parityEngine().compile(
    gradients(graph, 'loss', Object.values(names)),
    withPrefix(unetWeights, `${unetPrefix}.`),
  );
  const inputs = Object.fromEntries(['x0', 'noise', 't', 'context'].map((name) => [name, one.input(name)]));
  const got = await program.run({ ...inputs, instance: instanceRows(inputs['x0']?.shape[0] ?? 0) });
  compareOutputs(one, compare, (name) => {
    if (name === 'model_out') return got['prediction'];
    return name.startsWith('grad.') ? got[`grad.${names[name.slice(5) as keyof typeof names]}`] : got[name];
  });
}

async function compareTextualInversion(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): Promise<void> {
  const { unet, unetWeights } = unetOf(recorded, one);
  const textName = one.weightsNames[1] ?? '';
  const { placeholder_id, initializer_id, lr, weight_decay } = one.settings as Record<string, number>;
  const placeholder = placeholder_id as number;
  const settings = Object.entries(settingsOfWeights(recorded, textName)).filter(
    ([key]) => !/^(bos|pad)_token_id$/.test(key),
  );
  const text = clipTextConfigSchema.parse({ kind: 'clip_text', ...Object.fromEntries(settings) });
  const textWeights = new Map(
    [...one.weights(textName)].map(([name, value]) => [`${textPrefix}.transformer.text_model.${name}`, value]),
  );
  const table = `${textPrefix}.transformer.text_model.embeddings.token_embedding.weight`;
  const rows = 'token_rows';
  const width = text.hidden_size;
  const startRow = float32([1, width], one.input('start_row').data as Float32Array);
  const before = textWeights.get(table) as Tensor<'float32'>;
  const initial = before.data.slice((initializer_id as number) * width, ((initializer_id as number) + 1) * width);
  compare.exact('the start is the initializer', Array.from(startRow.data), Array.from(initial));
  const weights = joined([
    withPrefix(unetWeights, `${unetPrefix}.`),
    memoryWeights(textWeights),
    memoryWeights(new Map([[rows, startRow]])),
  ]);
  const plain = traceAdapterLoss({ unet, text: textCondition([text]), diffusion });
  const graph = withTokenRows(plain, { table, rows, count: 1 });
  const rename = (ids: Tensor): Tensor =>
    tensor(
      'int64',
      ids.shape,
      (ids.data as BigInt64Array).map((id) => (id === BigInt(placeholder) ? BigInt(text.vocab_size) : id)),
    );
  const batchOf = (i: number, ids: (given: Tensor) => Tensor) => ({
    x0: entryOf(one.input('x0'), i),
    noise: entryOf(one.input('noise'), i),
    t: entryOf(one.input('t'), i),
    input_ids: ids(entryOf(one.input('ids'), i)),
  });

  await using step = await createTrainStep({
    engine: parityEngine(),
    graph,
    weights,
    treatment: (name) => (name === rows ? { weightDecay: weight_decay as number } : 'fixed'),
  });
  compare.exact('trained parameters', step.trained, [rows]);
  // As diffusers' script has it: the whole table is trained, and the other rows restored. Its first gradient and how far rows move are recorded too.
  const withPlaceholder = float32(before.shape, before.data);
  withPlaceholder.data.set(startRow.data, placeholder * width);
  const restoring = new Map([...textWeights, [table, withPlaceholder]]);
  await using whole = await createTrainStep({
    engine: parityEngine(),
    graph: plain,
    weights: joined([withPrefix(unetWeights, `${unetPrefix}.`), memoryWeights(restoring)]),
    treatment: (name) => (name === table ? { weightDecay: weight_decay as number } : 'fixed'),
  });
  const count = one.input('x0').shape[0] ?? 0;
  const losses: number[] = [];
  const row: number[] = [];
  const moved: number[] = [];
  let firstGradient: Tensor | undefined;
  for (let i = 0; i < count; i++) {
    losses.push((await step.run(batchOf(i, rename), { learningRate: lr as number })).loss);
    row.push(...((await step.parameters())[rows] as Tensor<'float32'>).data);
    await whole.run(
      batchOf(i, (ids) => ids),
      { learningRate: lr as number },
    );
    if (i === 0) {
      firstGradient = (await whole.gradients())[table];
      const own = (await step.gradients())[rows]?.data as Float32Array;
      const placed = Array.from(firstGradient?.data ?? [], Number).slice(
        placeholder * width,
        (placeholder + 1) * width,
      );
      compare.error('gradient of the new row', listDifference(own, placed), 1e-7);
    }
    const now = (await whole.parameters())[table] as Tensor<'float32'>;
    const others = now.data.map((value, j) =>
      Math.floor(j / width) === placeholder ? 0 : Math.abs(value - (before.data[j] as number)),
    );
    moved.push(others.reduce((a, b) => Math.max(a, b), 0));
    const restored = float32(before.shape, before.data);
    restored.data.set(now.data.subarray(placeholder * width, (placeholder + 1) * width), placeholder * width);
    await whole.state.write({ [table]: restored });
  }
  const made: Readonly<Record<string, Tensor | undefined>> = {
    losses: float32([count], losses),
    row: float32([count, width], row),
    first_grad: firstGradient,
    other_rows_moved_before_restore: float32([count], moved),
  };
  compareOutputs(one, compare, (name) => made[name]);
}
