/** Training of LoRAs, DreamBooth and textual inversions with SDXL's condition: two text encoders, pooled text, sizes of the picture. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { readEmbeddings } from '../../src/adapters/textual-inversion.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../src/adapters/lora/with-lora.ts';
import { loraTensors } from '../../src/adapters/lora/write-lora.ts';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { composedConfigSchema } from '../../src/config/composed-conditioner.ts';
import { yamlOf } from '../../src/config/ldm-yaml.ts';
import { ldmUNet } from '../../src/config/network-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage } from '../../src/image/image.ts';
import { Model } from '../../src/model/model.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { bytesOf, type Tensor } from '../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { createDreamBoothTrainee } from '../../src/training/adapt/dreambooth.ts';
import { createLoraTrainee, type LoraTrainingOptions } from '../../src/training/adapt/lora.ts';
import { createTextualInversionTrainee } from '../../src/training/adapt/textual-inversion.ts';
import { preparedPicture } from '../../src/training/data/prepare-picture.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { smallText } from '../networks.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const checkpoint = randomCheckpoint(
  composedConfigSchema.parse({
    kind: 'composed',
    embedders: [
      smallText({}),
      smallText({
        hidden_act: 'gelu',
        pad_token_id: 0,
        pooled_output: true,
        with_projection: true,
        projection_dim: 8,
        eos_token_id: 2,
      }),
      { kind: 'sizes', fields: ['original', 'crop', 'target'], width: 4 },
    ],
  }),
  32,
  { unet: { adm_in_channels: 8 + 6 * 4, use_linear_in_transformer: true } },
);
const [tokenizer, secondTokenizer] = [createClipTokenizer(), createClipTokenizer({ pad: 'zero' })];
const base = { engine, checkpoint, tokenizer, secondTokenizer };

const picture = (i: number): TrainingItem => {
  const image = createImage(16, 16, 3);
  for (const [at, value] of new TorchGenerator(i).rand([image.data.length], 0, 255).data.entries())
    image.data[at] = value;
  return { name: `${i}`, caption: 'a fox', metadata: {}, image, sizes: { original: [48, 32], crop: [4, 0] } };
};
const items = [picture(1), picture(2)];

/** The loss of one batch as it is. */
async function lossOf(trainee: Trainee<Record<string, Tensor>>): Promise<number> {
  const { metrics } = await trainee.update([await trainee.prepare(items, 5)], { learningRate: 0, step: 0 });
  return metrics['loss'] as number;
}

async function train(trainee: Trainee<Record<string, Tensor>>, steps = 2): Promise<void> {
  for (let step = 0; step < steps; step++)
    await trainee.update([await trainee.prepare(items, step)], { learningRate: 1e-2, step });
}

const least: Pick<LoraTrainingOptions, 'unet'> = { unet: { rank: 1, targets: (name) => name === 'out.2.weight' } };
const few: Pick<LoraTrainingOptions, 'unet' | 'text'> = {
  unet: { rank: 2, targets: (name) => /^middle_block\.1\..*(?:attn2\.to_v|proj_in)\.weight$/.test(name) },
  text: { rank: 2 },
};

test("the condition in training is the one of sampling: both encoders' states, the pooled text, the sizes", async () => {
  await using trainee = await createLoraTrainee({ ...base, ...least });
  const { context, y } = await trainee.prepare(items, 1);
  const tokenizers = new Map([
    ['cond_stage', tokenizer],
    ['cond_stage_2', secondTokenizer],
  ]);
  await using model = new Model({ engine, checkpoint, tokenizers, ownsCheckpoint: false });
  const sizes = { original: [48, 32], crop: [4, 0], target: [16, 16] } as const;
  const wanted = await model.encode({ texts: ['a fox', 'a fox'], sizes: [sizes, sizes] });
  assert.deepEqual([context, y], [wanted['context'], wanted['y']]);
});

test('a LoRA of both text encoders and the UNet, as kohya and diffusers write it for SDXL, gives the loss that it had in training', async () => {
  await using trainee = await createLoraTrainee({ ...base, ...few });
  await train(trainee);
  const inTraining = await lossOf(trainee);
  const factors = await trainee.factors();
  assert.ok(
    factors.every(({ up }) => up.data.some((value) => value !== 0)),
    'every factor has a gradient',
  );
  const [first, second] = [smallText({}), smallText({ pad_token_id: 0 })];
  const layouts = (['kohya', 'diffusers'] as const).map((layout) =>
    loraTensors(factors, { layout, unet: ldmUNet(checkpoint.config.unet_config), text: first, text2: second }),
  );
  const [kohya = new Map(), diffusers = new Map()] = layouts;
  for (const [file, names] of [
    [kohya, ['lora_unet_middle_block_1_', 'lora_te1_text_model_encoder_layers_1_', 'lora_te2_text_model_encoder_']],
    [diffusers, ['unet.mid_block.attentions.0.', 'text_encoder.text_model.', 'text_encoder_2.text_model.']],
  ] as const)
    for (const name of names)
      assert.ok(
        [...file.keys()].some((key) => key.startsWith(name)),
        name,
      );
  // The last layer of the first encoder is behind the state that is used; the pooled text of the second depends on all.
  assert.ok(![...kohya.keys()].some((key) => key.startsWith('lora_te1_text_model_encoder_layers_2_')));
  assert.ok([...kohya.keys()].some((key) => key.startsWith('lora_te2_text_model_encoder_layers_2_')));
  await using plain = await createLoraTrainee({ ...base, ...least });
  assert.ok(Math.abs((await lossOf(plain)) - inTraining) > 1e-4, 'the LoRA matters');
  for (const file of layouts) {
    const merged = checkpointWithLora(checkpoint, [{ lora: openLora(memoryWeights(file)) }]);
    await using again = await createLoraTrainee({ ...base, checkpoint: merged, ...least });
    assert.ok(Math.abs((await lossOf(again)) - inTraining) < 1e-5 * inTraining);
  }
});

test('DreamBooth trains the UNet and both text encoders into one file of sgm, which gives the loss of training', async () => {
  await using trainee = await createDreamBoothTrainee({ ...base, trainText: true });
  await train(trainee);
  const inTraining = await lossOf(trainee);
  const { entries, provide } = trainee.model();
  const written = new Map<string, Tensor>();
  for (const entry of entries) written.set(entry.name, await provide(entry));
  for (const name of [
    'model.diffusion_model.',
    'conditioner.embedders.0.transformer.',
    'conditioner.embedders.1.model.',
  ])
    assert.ok(
      [...written.keys()].some((key) => key.startsWith(name)),
      name,
    );
  const { config, parts } = await openCheckpoint(memoryWeights(written), {
    config: parseYaml(yamlOf(checkpoint.config) ?? '', 'the YAML'),
  });
  await using again = await createLoraTrainee({ ...base, checkpoint: { ...checkpoint, config, parts }, ...least });
  assert.ok(Math.abs((await lossOf(again)) - inTraining) < 1e-5 * inTraining);
});

test('a textual inversion has vectors for both encoders, under the names that ComfyUI and diffusers read', async () => {
  await using trainee = await createTextualInversionTrainee({ ...base, token: '<fox>', initializer: 'fox' });
  const before = new Map<string, Tensor>();
  const { entries, provide } = trainee.model();
  for (const entry of entries) before.set(entry.name, await provide(entry));
  assert.deepEqual([...before.keys()], ['clip_l', 'clip_g']);
  await trainee.update([await trainee.prepare([{ ...picture(1), caption: '<fox>' }], 1)], {
    learningRate: 1e-2,
    step: 0,
  });
  for (const entry of entries)
    assert.notDeepEqual(bytesOf(await provide(entry)), bytesOf(before.get(entry.name) as Tensor), entry.name);
  assert.equal((await readEmbeddings(memoryWeights(before))).length > 0, true);
});

test('the sizes of a prepared picture: before it was resized, and the corner of the cut in the picture as it is shown', () => {
  const wide = createImage(40, 20, 3);
  const cut = (options: object, seed = 1) =>
    preparedPicture(wide, { size: 10, ...options }, new TorchGenerator(seed)).sizes;
  assert.deepEqual(cut({}), { original: [20, 40], crop: [0, 5] });
  const random = cut({ crop: 'random' });
  const mirrored = cut({ crop: 'random', flip: 1 });
  assert.equal((random?.crop[1] ?? 0) + (mirrored?.crop[1] ?? 0), 10);
  assert.equal(cut({ share: { least: 0.5, greatest: 1 } }), undefined);
});

test('what is missing is named: the second tokenizer, the sizes of a kept latent', async () => {
  const { secondTokenizer: _, ...one } = base;
  await assert.rejects(createLoraTrainee({ ...one, ...least }), {
    code: 'invalid-argument',
    message: 'random model has two text encoders, and no tokenizer was given for the second.',
  });
  await using trainee = await createLoraTrainee({ ...base, ...least });
  const latents = new TorchGenerator(1).randn([4, 8, 8]);
  await assert.rejects(trainee.prepare([{ name: 'a.png', caption: '', metadata: {}, latents }], 1), {
    code: 'invalid-argument',
    message: /^The size of a\.png before it was cut is not known/,
  });
});
