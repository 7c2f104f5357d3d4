/** DreamBooth, textual inversion, samples and batches of the recipes. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ldmUNet } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage } from '../../src/image/image.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import type { ClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { createDreamBoothTrainee, withPriorItems } from '../../src/training/adapt/dreambooth.ts';
import { createLoraTrainee } from '../../src/training/adapt/lora.ts';
import { createTextualInversionTrainee } from '../../src/training/adapt/textual-inversion.ts';
import { trainAdapter } from '../../src/training/adapt/train-adapter.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import type { Checkpoint } from '../../src/checkpoints/checkpoint.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { reference } from '../reference.ts';
import { least } from './least-lora.ts';

const engine = createNodeEngine({ threads: 2 });

const tiny = reference('diffusion/pipelines/tiny.ckpt');

let checkpoint: Checkpoint;

let tokenizer: ClipTokenizer;

const folder = mkdtempSync(join(tmpdir(), 'sd-adapt-'));

before(async () => {
  checkpoint = await openCheckpointAt(tiny);
  const model = await loadModel(tiny, { engine });
  tokenizer = model.tokenizer as ClipTokenizer;
});

after(async () => {
  await engine.dispose();
  await checkpoint.close();
  rmSync(folder, { recursive: true });
});

const size = (): number => 2 ** (ldmUNet(checkpoint.config.unet_config).channel_mult.length + 1);

const item = (i: number, caption: string): TrainingItem => ({
  name: `${i}`,
  caption,
  metadata: {},
  latents: new TorchGenerator(i).randn([checkpoint.config.unet_config.in_channels, size(), size()]),
});

const items = (caption: string): TrainingItem[] => [item(1, caption), item(2, caption)];

async function* endless(list: readonly TrainingItem[]): AsyncGenerator<{ items: readonly TrainingItem[] }> {
  for (;;) yield { items: list };
}

async function losses(
  trainee: Trainee<unknown>,
  steps: number,
  options: { readonly learningRate?: number; readonly firstStep?: number; readonly caption?: string } = {},
): Promise<number[]> {
  const made: number[] = [];
  const { learningRate = 1e-2, firstStep = 0, caption = 'a cat' } = options;
  for await (const { metrics } of trainAdapter(trainee, {
    batches: endless(items(caption)),
    steps,
    learningRate,
    firstStep,
  }))
    made.push(metrics['loss'] as number);
  return made;
}

async function writeModel(trainee: Trainee<unknown>, name: string): Promise<string> {
  const { entries, provide, metadata } = trainee.model();
  const path = join(folder, name);
  await writeFileAtomic(path, writeSafetensors(entries, provide, metadata ? { metadata } : {}));
  return path;
}

test('DreamBooth with prior preservation: both losses, and a whole checkpoint that opens again', async () => {
  const batches = withPriorItems(
    (async function* () {
      for (;;) yield { items: items('a sks cat'), epoch: 0, state: { kind: 'indexed' as const, epoch: 0, drawn: 0 } };
    })(),
    (async function* () {
      for (;;)
        yield {
          items: [item(3, 'a cat'), item(4, 'a cat')],
          epoch: 0,
          state: { kind: 'indexed' as const, epoch: 0, drawn: 0 },
        };
    })(),
  );
  await using trainee = await createDreamBoothTrainee({
    engine,
    checkpoint,
    tokenizer,
    trainText: true,
    prior: { weight: 0.5 },
  });
  for await (const { metrics, step } of trainAdapter(trainee, { batches, steps: 2, learningRate: 1e-4 })) {
    const { loss = 0, instance_loss = 0, prior_loss = 0 } = metrics;
    assert.ok(Math.abs(loss - (instance_loss + 0.5 * prior_loss)) < 1e-5 && prior_loss > 0, `step ${step}`);
  }
  const opened = await openCheckpointAt(await writeModel(trainee, 'dreambooth.safetensors'));
  assert.equal(opened.kind, 'txt2img');
  const name = 'input_blocks.0.0.weight';
  assert.notDeepEqual((await opened.parts.unet.read(name)).data, (await checkpoint.parts.unet.read(name)).data);
  assert.deepEqual(
    await opened.parts.first_stage.read('decoder.conv_in.weight'),
    await checkpoint.parts.first_stage.read('decoder.conv_in.weight'),
  );
  await opened.close();
});

test('textual inversion: vectors start at the initializer, move, and make another context', async () => {
  await using trainee = await createTextualInversionTrainee({
    engine,
    checkpoint,
    tokenizer,
    token: '<cat>',
    initializer: 'cat',
    vectors: 2,
  });
  const start = await trainee.embedding();
  assert.deepEqual(start.vectors.shape, [2, ldmUNet(checkpoint.config.unet_config).context_dim]);
  await losses(trainee, 3);
  const path = await writeModel(trainee, 'cat.safetensors');
  const source = await openWeightsAt(path);
  assert.deepEqual([...source.entries.keys()], ['<cat>']);
  await source.close();
  const now = await trainee.embedding();
  assert.notDeepEqual(now.vectors.data, start.vectors.data);
  const plain = await loadModel(tiny, { engine });
  const model = await loadModel(tiny, { engine, embeddings: [path] });
  assert.deepEqual((await model.encodePrompts(['a dog'])).data, (await plain.encodePrompts(['a dog'])).data);
  assert.notDeepEqual((await model.encodePrompts(['a <cat>'])).data, (await plain.encodePrompts(['a <cat>'])).data);
  assert.deepEqual(model.adapters, ['embedding:<cat>']);
});

test('samples are pictures of the model with what has been trained', async () => {
  const samples = { prompts: ['a <cat>'], steps: 2, width: 64, height: 64 };
  const options = { engine, checkpoint, tokenizer, samples };
  const trainees = [
    await createTextualInversionTrainee({ ...options, token: '<cat>', initializer: 'cat' }),
    await createLoraTrainee({ ...options, ...least }),
    await createDreamBoothTrainee(options),
  ];
  for (const trainee of trainees) {
    const pixels = async (): Promise<Uint8Array | undefined> =>
      (await trainee.samples?.(await trainee.prepare(items('x'), 0)))?.images[0]?.data;
    const start = await pixels();
    await losses(trainee, 2, { learningRate: 0.1 });
    assert.notDeepEqual(await pixels(), start);
    await trainee[Symbol.asyncDispose]();
  }
});

test('pictures are encoded by the model; mixed batches, other sizes and batches that end are named', async () => {
  await using trainee = await createLoraTrainee({ engine, checkpoint, tokenizer, ...least });
  const picture = (width: number): TrainingItem => ({
    name: `${width}`,
    caption: 'x',
    metadata: {},
    image: createImage(width, 64, 3),
  });
  const { x0, context } = await trainee.prepare([picture(64), picture(64)], 0);
  assert.deepEqual(x0?.shape.slice(0, 2), [2, 4]);
  assert.equal(context?.shape[0], 2);
  await assert.rejects(trainee.prepare([picture(64), item(1, 'x')], 0), { code: 'invalid-argument' });
  const small = { ...item(1, 'x'), latents: float32([4, 2, 2], new Float32Array(16)) };
  await assert.rejects(trainee.prepare([item(1, 'x'), small], 0), { code: 'shape-mismatch' });
  await assert.rejects(
    trainAdapter(trainee, { batches: (async function* () {})(), steps: 1, learningRate: 1 }).next(),
    { code: 'invalid-argument' },
  );
  await assert.rejects(createLoraTrainee({ engine, checkpoint, tokenizer, unet: { targets: () => false } }), {
    code: 'invalid-argument',
  });
});
