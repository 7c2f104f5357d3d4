/** Training of LoRAs. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ClipTextConfig, ldmUNet } from '../../src/config/network-config.ts';
import { trace } from '../../src/graph/trace.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { dropout } from '../../src/training/adapt/dropout.ts';
import { createLoraTrainee, type LoraTrainingOptions } from '../../src/training/adapt/lora.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../src/adapters/lora/with-lora.ts';
import { loraTensors } from '../../src/adapters/lora/write-lora.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { runGraph } from '../graph/run-graph.ts';
import { checkpoint, engine, items, least, losses, tokenizer, writeModel } from './tiny-training.ts';

/** The loss of one batch, without training. */
async function lossOf(options: LoraTrainingOptions): Promise<number> {
  await using trainee = await createLoraTrainee(options);
  return (await trainee.update([await trainee.prepare(items('a cat'), 5)], { learningRate: 0, step: 0 })).metrics[
    'loss'
  ] as number;
}

/** Layers of every kind in some blocks: the runtime takes its time with graphs of all of them. */
const everything: Pick<LoraTrainingOptions, 'unet' | 'text'> = {
  unet: {
    rank: 3,
    alpha: 2,
    convolutionRank: 2,
    convolutionAlpha: 1,
    targets: (name) =>
      /^(?:input_blocks\.[03]\.0|middle_block\.[01]|output_blocks\.0\.0|out\.2|time_embed\.0)\./.test(name),
  },
  text: { rank: 2, targets: ['attention', 'feed-forward'] },
};

test('a LoRA of all kinds of layers, written as kohya and as diffusers, gives in a merged model the loss it had in training', async () => {
  const kohya = await createLoraTrainee({ engine, checkpoint, tokenizer, ...everything });
  const made = await losses(kohya, 4);
  assert.ok(made.every(Number.isFinite));
  const factors = await kohya.factors();
  assert.ok(
    factors.every(({ up }) => up.data.some((value) => value !== 0)),
    'every factor has moved',
  );
  const path = await writeModel(kohya, 'lora.safetensors');
  const inTraining = (await kohya.update([await kohya.prepare(items('a cat'), 5)], { learningRate: 0, step: 0 }))
    .metrics['loss'] as number;
  await kohya[Symbol.asyncDispose]();
  const plain = await lossOf({ engine, checkpoint, tokenizer, ...least });
  assert.ok(Math.abs(inTraining - plain) > 1e-4, 'the LoRA matters');
  const { unet_config: unet, cond_stage_config: text } = checkpoint.config;
  const written = loraTensors(factors, { layout: 'diffusers', unet: ldmUNet(unet), text: text as ClipTextConfig });
  for (const source of [await openWeightsAt(path), memoryWeights(written)]) {
    const merged = checkpointWithLora(checkpoint, [{ lora: openLora(source) }]);
    const afterwards = await lossOf({ engine, checkpoint: merged, tokenizer, ...least });
    assert.ok(Math.abs(afterwards - inTraining) < 1e-5 * inTraining, `${afterwards} is not ${inTraining}`);
    await source.close();
  }
});

test('a LoRA that is trained further on one batch lowers its loss', async () => {
  await using trainee = await createLoraTrainee({
    engine,
    checkpoint,
    tokenizer,
    unet: {
      rank: 8,
      targets: (name) => /^(?:middle_block|output_blocks)\..*(?:attn\d\.to_[qkv]|out_layers\.3)\.weight$/.test(name),
    },
  });
  const batch = await trainee.prepare(items('a cat'), 1);
  const made: number[] = [];
  for (let step = 0; step < 30; step++)
    made.push((await trainee.update([batch], { learningRate: 1e-2, step })).metrics['loss'] as number);
  assert.ok((made.at(-1) as number) < 0.8 * (made[0] as number), made.join(' '));
});

test('training goes on from a checkpoint to the same factors, bit for bit, with dropout', async () => {
  const options = {
    engine,
    checkpoint,
    tokenizer,
    unet: { rank: 2, targets: (name: string) => /^middle_block\.(?:0|1\.proj_in|1.*attn2\.to_v)/.test(name) },
    text: everything.text ?? {},
    dropout: 0.3,
    seed: 7,
  };
  await using whole = await createLoraTrainee(options);
  await losses(whole, 4);
  await using first = await createLoraTrainee(options);
  await losses(first, 2);
  const { entries, provide, state } = first.checkpoint();
  const saved = new Map<string, Tensor>();
  for (const entry of entries) saved.set(entry.name, await provide(entry));
  await using second = await createLoraTrainee(options);
  await second.restore(memoryWeights(saved), JSON.parse(JSON.stringify(state)));
  await losses(second, 4, { firstStep: 2 });
  assert.deepEqual(await second.factors(), await whole.factors());
});

test('dropout: the share of zeros, and no relation between neighbours, rows, layers or seeds', async () => {
  const shape = [2, 64, 80];
  const graph = trace({ x: { dtype: 'float32', shape }, seed: { dtype: 'float32', shape: [] } }, ({ x, seed }) => {
    return { a: dropout(x, 0.3, seed, 1), b: dropout(x, 0.3, seed, 2) };
  });
  const ones = float32(shape, new Float32Array(10240).fill(1));
  const run = async (seed: number) => runGraph(engine, graph, { x: ones, seed: float32([], [seed]) });
  const [one, other] = [await run(123.25), await run(124.25)];
  const kept = (value: Tensor | undefined): number[] =>
    Array.from((value?.data ?? []) as Float32Array, (element) => (element === 0 ? 0 : 1));
  const a = kept(one['a']);
  assert.ok(Math.abs(a.reduce((sum, value) => sum + value, 0) / a.length - 0.7) < 0.02);
  assert.ok(Math.abs(Math.max(...((one['a']?.data ?? []) as Float32Array)) - 1 / 0.7) < 1e-6);
  const correlation = (values: readonly number[], shift: number): number => {
    let sum = 0;
    for (let i = 0; i < a.length - shift; i++) sum += ((a[i] as number) - 0.7) * ((values[i + shift] as number) - 0.7);
    return sum / (a.length - shift) / 0.21;
  };
  for (const [what, value] of [
    ['neighbour', correlation(a, 1)],
    ['row', correlation(a, 80)],
    ['layer', correlation(kept(one['b']), 0)],
    ['seed', correlation(kept(other['a']), 0)],
  ] as const) {
    assert.ok(Math.abs(value) < 0.05, `${what}: ${value}`);
  }
});
