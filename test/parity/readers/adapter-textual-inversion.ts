/** Textual inversion against PyTorch: the new row trained alone, and the whole token table trained and restored as diffusers' script has it. */

import { type ClipTextConfig, clipTextConfigSchema } from '../../../src/config/network-config.ts';
import { float32, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { textPrefix, traceAdapterLoss, unetPrefix } from '../../../src/training/adapt/adapter-loss.ts';
import { textCondition } from '../../../src/training/adapt/text-condition.ts';
import { withTokenRows } from '../../../src/training/adapt/token-rows.ts';
import { createTrainStep } from '../../../src/training/step/create-train-step.ts';
import type { TrainStep } from '../../../src/training/step/train-step.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { joined, withPrefix } from '../../../src/weights/view.ts';
import { adapterReader, diffusion, settingsOfWeights, unetOf } from '../adapter-case.ts';
import { type Comparisons, listDifference } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { RecordedCase } from '../reader.ts';
import { compareOutputs, entryOf, type TrainingCase, vector } from '../training-case.ts';

const table = `${textPrefix}.transformer.text_model.embeddings.token_embedding.weight`;
const rows = 'token_rows';

interface Steps extends AsyncDisposable {
  /** Trains the new row. */
  readonly own: TrainStep;
  /** Trains the whole table. */
  readonly whole: TrainStep;
}

interface Start {
  readonly text: ClipTextConfig;
  readonly textWeights: ReadonlyMap<string, Tensor>;
  /** The table before the training. */
  readonly before: Tensor<'float32'>;
  readonly row: Tensor<'float32'>;
}

export const reader = adapterReader(/whole token table/, async (one, compare, recorded) => {
  const start = startOf(one, compare, recorded);
  await using steps = await createSteps(one, compare, recorded, start);
  const made = await trainOn(one, compare, start, steps);
  compareOutputs(one, compare, (name) => made[name]);
});

const placeholderOf = ({ settings }: TrainingCase): number => Number(settings['placeholder_id']);

function startOf(one: TrainingCase, compare: Comparisons, recorded: RecordedCase): Start {
  const textName = one.weightsNames[1] ?? '';
  const settings = Object.entries(settingsOfWeights(recorded, textName)).filter(
    ([key]) => !/^(bos|pad)_token_id$/.test(key),
  );
  const text = clipTextConfigSchema.parse({ kind: 'clip_text', ...Object.fromEntries(settings) });
  const textWeights = new Map(
    [...one.weights(textName)].map(([name, value]) => [`${textPrefix}.transformer.text_model.${name}`, value]),
  );
  const width = text.hidden_size;
  const row = float32([1, width], one.input('start_row').data as Float32Array);
  const before = textWeights.get(table) as Tensor<'float32'>;
  const initializer = Number(one.settings['initializer_id']);
  const initial = before.data.slice(initializer * width, (initializer + 1) * width);
  compare.exact('the start is the initializer', Array.from(row.data), Array.from(initial));
  return { text, textWeights, before, row };
}

async function createSteps(
  one: TrainingCase,
  compare: Comparisons,
  recorded: RecordedCase,
  { text, textWeights, before, row }: Start,
): Promise<Steps> {
  const { unet, unetWeights } = unetOf(recorded, one);
  const weightDecay = Number(one.settings['weight_decay']);
  const network = withPrefix(unetWeights, `${unetPrefix}.`);
  const plain = traceAdapterLoss({ unet, text: textCondition([text]), diffusion });
  const own = await createTrainStep({
    engine: parityEngine(),
    graph: withTokenRows(plain, { table, rows, count: 1 }),
    weights: joined([network, memoryWeights(textWeights), memoryWeights(new Map([[rows, row]]))]),
    treatment: (name) => (name === rows ? { weightDecay } : 'fixed'),
  });
  compare.exact('trained parameters', own.trained, [rows]);
  // As diffusers' script has it: the whole table is trained, and the other rows restored. Its first gradient and how far rows move are recorded too.
  const withPlaceholder = float32(before.shape, before.data);
  withPlaceholder.data.set(row.data, placeholderOf(one) * text.hidden_size);
  const whole = await createTrainStep({
    engine: parityEngine(),
    graph: plain,
    weights: joined([network, memoryWeights(new Map([...textWeights, [table, withPlaceholder]]))]),
    treatment: (name) => (name === table ? { weightDecay } : 'fixed'),
  });
  return {
    own,
    whole,
    async [Symbol.asyncDispose]() {
      await own[Symbol.asyncDispose]();
      await whole[Symbol.asyncDispose]();
    },
  };
}

async function trainOn(
  one: TrainingCase,
  compare: Comparisons,
  { text, before }: Start,
  { own, whole }: Steps,
): Promise<Readonly<Record<string, Tensor | undefined>>> {
  const width = text.hidden_size;
  const placeholder = placeholderOf(one);
  const [begin, end] = [placeholder * width, (placeholder + 1) * width];
  const learningRate = Number(one.settings['lr']);
  const batchOf = (i: number) => ({
    x0: entryOf(one.input('x0'), i),
    noise: entryOf(one.input('noise'), i),
    t: entryOf(one.input('t'), i),
  });
  const count = one.input('x0').shape[0] ?? 0;
  const [losses, row, moved]: [number[], number[], number[]] = [[], [], []];
  let firstGradient: Tensor | undefined;
  for (let i = 0; i < count; i++) {
    const ids = entryOf(one.input('ids'), i);
    const ownIds = renamed(ids, placeholder, text.vocab_size);
    losses.push((await own.run({ ...batchOf(i), input_ids: ownIds }, { learningRate })).loss);
    row.push(...((await own.parameters())[rows] as Tensor<'float32'>).data);
    await whole.run({ ...batchOf(i), input_ids: ids }, { learningRate });
    if (i === 0) {
      firstGradient = (await whole.gradients())[table];
      const got = (await own.gradients())[rows]?.data as Float32Array;
      const placed = Array.from(firstGradient?.data ?? [], Number).slice(begin, end);
      compare.error('gradient of the new row', listDifference(got, placed), 1e-7);
    }
    const now = (await whole.parameters())[table] as Tensor<'float32'>;
    const others = now.data.map((value, j) =>
      j >= begin && j < end ? 0 : Math.abs(value - (before.data[j] as number)),
    );
    moved.push(others.reduce((a, b) => Math.max(a, b), 0));
    const restored = float32(before.shape, before.data);
    restored.data.set(now.data.subarray(begin, end), begin);
    await whole.state.write({ [table]: restored });
  }
  return {
    losses: vector(losses),
    row: float32([count, width], row),
    first_grad: firstGradient,
    other_rows_moved_before_restore: vector(moved),
  };
}

/** Tokens with another number for one of them. */
const renamed = (ids: Tensor, from: number, to: number): Tensor =>
  tensor(
    'int64',
    ids.shape,
    (ids.data as BigInt64Array).map((id) => (id === BigInt(from) ? BigInt(to) : id)),
  );
