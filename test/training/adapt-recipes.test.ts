/** DreamBooth, textual inversion, samples and batches of the recipes. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ldmUNet } from '../../src/config/network-config.ts';
import { createImage } from '../../src/image/image.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { createDreamBoothTrainee, withPriorItems } from '../../src/training/adapt/dreambooth.ts';
import { createLoraTrainee } from '../../src/training/adapt/lora.ts';
import { createTextualInversionTrainee } from '../../src/training/adapt/textual-inversion.ts';
import { trainAdapter } from '../../src/training/adapt/train-adapter.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { checkpoint, engine, item, items, least, losses, tiny, tokenizer, writeModel } from './tiny-training.ts';

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
