/** Training of ControlNets and T2I-Adapters: gradients, the start from the UNet, files that load, resumed runs, pairs of pictures and maps. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringifyYaml } from '../../src/config/yaml.ts';
import type { Tensors } from '../../src/engine/engine.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { loadControl } from '../../src/model/load-control-node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { expectDType, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { type ControlTrainingOptions, createControlTrainee } from '../../src/training/adapt/control.ts';
import { hintsOf } from '../../src/training/adapt/control-hints.ts';
import { openSplit } from '../../src/training/data/open-split-node.ts';
import { createProblems } from '../../src/training/data/problems.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import { splitSchema } from '../../src/training/training-config.ts';
import { recipes } from '../../src/training/recipes.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { resultOf } from '../pipelines/result.ts';
import { checkpoint, engine, tiny, tokenizer, writeModel } from './tiny-training.ts';
import { eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const kinds = ['controlnet', 't2i_adapter'] as const;
const runs = await trainingRuns();

function picture(seed: number) {
  const image = createImage(32, 32, 3);
  image.data.set(new TorchGenerator(seed).rand([3 * 32 * 32], 0, 255).data.map(Math.round));
  return image;
}
const items: TrainingItem[] = [1, 2].map((i) => ({
  name: `${i}.png`,
  caption: 'a cat',
  metadata: {},
  image: picture(i),
  map: picture(i + 10),
}));
const common = { engine, checkpoint, tokenizer };

async function loss(trainee: Trainee<Tensors>, learningRate = 0): Promise<number> {
  const batch = await trainee.prepare(items, 5);
  return (await trainee.update([batch], { learningRate, step: 0 })).metrics['loss'] as number;
}

/** The tensors of a checkpoint that are trained. */
async function tensorsOf(trainee: Trainee<Tensors>): Promise<Map<string, Tensor>> {
  const { entries, provide } = trainee.checkpoint();
  const all = new Map<string, Tensor>();
  for (const entry of entries) all.set(entry.name, await provide(entry));
  return all;
}

/** Every tensor moved away from its start, so that no gradient is zero because an output is. */
function shaken(tensors: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const draws = new TorchGenerator(9);
  return new Map(
    Array.from(tensors, ([name, value]) => {
      const noise = draws.randn(value.shape).data;
      return [
        name,
        float32(
          value.shape,
          Array.from(value.data as Float32Array, (one, i) => Number(one) + 0.05 * (noise[i] as number)),
        ),
      ];
    }),
  );
}

for (const kind of kinds)
  test(`${kind}: gradients agree with finite differences in every part of the network`, async () => {
    await using trainee = await createControlTrainee({
      ...common,
      kind,
      optimiser: { kind: 'sgd' },
      weightDecay: 0,
      clipNorm: 1e9,
    });
    const { state } = trainee.checkpoint();
    const start = shaken(await tensorsOf(trainee));
    const restore = (tensors: ReadonlyMap<string, Tensor>): Promise<void> =>
      trainee.restore(memoryWeights(tensors), state);
    const rate = 0.25;
    await restore(start);
    await loss(trainee, rate);
    const after = await tensorsOf(trainee);
    const gradient = (name: string): Float32Array => {
      const [a, b] = [start.get(name) as Tensor, after.get(name) as Tensor];
      return Float32Array.from(a.data as Float32Array, (value, i) => (value - Number(b.data[i])) / rate);
    };
    const names = [...start.keys()];
    const chosen =
      kind === 'controlnet'
        ? [
            'input_hint_block.0.weight',
            'input_blocks.1.0.in_layers.2.weight',
            'middle_block.1.transformer_blocks.0.attn2.to_k.weight',
            'zero_convs.2.0.weight',
            'middle_block_out.0.bias',
          ]
        : ['conv_in.weight', 'body.0.block1.weight', 'body.3.block2.weight', 'body.2.block1.bias'];
    for (const wanted of chosen) {
      const name = names.find((own) => own.endsWith(wanted));
      assert.ok(name, wanted);
      const own = start.get(name) as Tensor;
      const known = gradient(name);
      // Along signs that agree with the gradient in half of the elements and are drawn in the others.
      const draws = new TorchGenerator(1).randn(own.shape).data;
      const direction = known.map((value, i) => (i % 2 ? Math.sign(value) : Math.sign(draws[i] as number)));
      const slope = known.reduce((sum, value, i) => sum + value * (direction[i] as number), 0);
      // The adapter's ReLUs must stay on their side of 0.
      const step = Math.min(kind === 'controlnet' ? 0.05 : 0.002, 2e-4 / Math.abs(slope));
      const at = async (sign: number): Promise<number> => {
        const moved = float32(
          own.shape,
          Array.from(own.data as Float32Array, (value, i) => Number(value) + sign * step * (direction[i] as number)),
        );
        await restore(new Map([...start, [name, moved]]));
        return loss(trainee);
      };
      const measured = ((await at(1)) - (await at(-1))) / (2 * step);
      assert.ok(Math.abs(measured - slope) < 0.03 * Math.abs(slope), `${name}: ${measured} is not ${slope}`);
    }
  });

for (const kind of kinds)
  test(`${kind}: at first the map of a ControlNet changes nothing; training lowers the loss, and the written file goes on with it`, async () => {
    const options: ControlTrainingOptions = { ...common, kind };
    await using trainee = await createControlTrainee(options);
    const batch = await trainee.prepare(items, 1);
    const update = async (given: Tensors, learningRate: number): Promise<number> =>
      (await trainee.update([given], { learningRate, step: 0 })).metrics['loss'] as number;
    const hint = expectDType(batch['hint'] as Tensor, 'float32');
    const other = { ...batch, hint: { ...hint, data: hint.data.map((value) => 1 - value) } };
    const first = await update(batch, 0);
    assert.equal((await update(other, 0)) === first, kind === 'controlnet');
    let last = first;
    for (let step = 0; step < 12; step++) last = await update(batch, 5e-3);
    assert.ok(last < 0.95 * first, `${first} to ${last}`);
    assert.notEqual(await update(other, 0), await update(batch, 0));
    const now = await update(batch, 0);
    const start = await openWeightsAt(await writeModel(trainee, `${kind}.safetensors`));
    await using again = await createControlTrainee({ ...options, start });
    const goesOn = (await again.update([batch], { learningRate: 0, step: 0 })).metrics['loss'] as number;
    assert.ok(Math.abs(goesOn - now) < 1e-6 * now);
    if (kind === 't2i_adapter') await assertCubic(trainee);
    await start.close();
  });

/** E[1 - u³] = 3/4; the deviation of the mean of 80 draws is 30. */
async function assertCubic(trainee: Trainee<Tensors>): Promise<void> {
  const drawn: number[] = [];
  for (let seed = 0; seed < 40; seed++)
    drawn.push(...Array.from((await trainee.prepare(items, seed))['t']?.data ?? [], Number));
  const mean = drawn.reduce((sum, t) => sum + t, 0) / drawn.length;
  assert.ok(Math.abs(mean - 750) < 100, `${mean}`);
  assert.ok(drawn.every((t) => t >= 0 && t < 1000));
}

test('what cannot be trained is named before anything is compiled', async () => {
  await assert.rejects(
    createControlTrainee({
      ...common,
      kind: 'controlnet',
      checkpoint: {
        ...checkpoint,
        config: { ...checkpoint.config, unet_config: { ...checkpoint.config.unet_config, in_channels: 9 } as never },
      },
    }),
    { code: 'invalid-argument', message: /takes 9 channels, of which 5 are no latents/ },
  );
  const { map: _, ...bare } = items[0] as TrainingItem & { readonly map: unknown };
  await assert.rejects(hintsOf([bare as TrainingItem], 3, undefined), {
    code: 'invalid-argument',
    message: /1\.png has no map\./,
  });
});

const optionsOf = (recipe: string, run: string, overrides: readonly string[] = []) =>
  runs.options(stringifyYaml(recipes[recipe]?.document), run, [
    `model.params.ckpt_path=${tiny}`,
    `data.params.train.params={data_root: ${runs.pictures}, size: 64}`,
    'data.params.batch_size=2',
    'model.base_learning_rate=1e-2',
    'lightning.trainer.max_steps=3',
    'lightning.modelcheckpoint.params.every_n_train_steps=2',
    'lightning.callbacks.image_logger.params.batch_frequency=3',
    'training.log_every=1',
    'training.sample_steps=2',
    ...overrides,
  ]);

const edges = ['model.params.annotator=canny', 'model.params.threshold_a=20', 'model.params.threshold_b=60'];

async function assertSteers(file: string): Promise<void> {
  await using model = await loadModel(tiny, { engine: runs.engine });
  await using control = await loadControl(model, file);
  const make = async (controls: object) => {
    const settings = { prompt: 'a square', steps: 2, width: 64, height: 64, safety: false };
    return (await resultOf(textToImage(model, { ...settings, ...controls }))).images[0]?.image.data;
  };
  assert.notDeepEqual(await make({ control: [{ model: control, picture: picture(3) }] }), await make({}));
}

test('the recipe controlnet: a captioned folder with edges drawn on the way; resumed to the same bits; the file steers pictures', async () => {
  await eventsOf(optionsOf('controlnet', 'whole', edges));
  await stoppedAfter(1, optionsOf('controlnet', 'parts', edges));
  await eventsOf(optionsOf('controlnet', 'parts', edges));
  for (const file of ['controlnet.safetensors', 'checkpoints/last.safetensors'])
    assert.ok(runs.file('parts', file).equals(runs.file('whole', file)), file);
  assert.deepEqual(readdirSync(join(runs.folder, 'whole', 'samples')), ['step-00000003.png']);
  await assertSteers(join(runs.folder, 'whole', 'controlnet.safetensors'));
});

test('the recipe t2i-adapter writes a file that steers pictures', async () => {
  await eventsOf(optionsOf('t2i-adapter', 'adapter', [...edges, 'lightning.trainer.max_steps=1']));
  await assertSteers(join(runs.folder, 'adapter', 't2i-adapter.safetensors'));
});

async function pair(folder: string, maps: readonly (readonly [name: string, width: number, height: number])[]) {
  for (const [name, width, height] of maps)
    writeFileSync(join(folder, name), await nodeImageCodec.encode(createImage(width, height, 3), { format: 'png' }));
}

/** The items of a pass over a folder, by name, and what was reported. */
async function passOver(data: object): Promise<{ readonly names: string[]; readonly found: string[] }> {
  const found: string[] = [];
  const split = await openSplit(splitSchema.parse(data), {
    what: 'the pairs',
    problems: createProblems(({ message }) => found.push(message)),
    size: 32,
    batchSize: 1,
    codec: nodeImageCodec,
    seed: 1,
    maps: { required: true },
  });
  const names: string[] = [];
  try {
    for await (const { items: made, epoch } of split.first(6)) {
      if (epoch > 0) break;
      for (const one of made) if ('image' in one && one.map?.width === one.image.width) names.push(one.name);
    }
  } finally {
    await split.close();
  }
  return { names, found };
}

test('pairs: by conditioning_image and by a folder of maps; one without a map or of other proportions is left out by name', async () => {
  const folder = join(runs.folder, 'pairs');
  mkdirSync(join(folder, 'maps'), { recursive: true });
  for (let i = 0; i < 3; i++) copyFileSync(join(runs.pictures, `${i}.png`), join(folder, `${i}.png`));
  await pair(folder, [
    ['maps/0.png', 40, 32],
    ['maps/1.png', 20, 20],
  ]);
  const rows = [0, 1, 2].map((i) => ({ file_name: `${i}.png`, text: 'a square', conditioning_image: `maps/${i}.png` }));
  writeFileSync(join(folder, 'metadata.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const { names, found } = await passOver({ data_root: folder });
  assert.deepEqual(names, ['0.png']);
  const reason = (name: string): string => found.filter((message) => message.startsWith(name)).join(' ');
  assert.match(reason('1.png'), /its map has 20 x 20 pixels, and the picture 20 x 16/);
  assert.match(reason('2.png'), /has no map and is left out/);

  const [bare, maps] = [join(runs.folder, 'bare'), join(runs.folder, 'maps')];
  mkdirSync(bare);
  mkdirSync(maps);
  copyFileSync(join(runs.pictures, '0.png'), join(bare, '0.png'));
  writeFileSync(join(bare, '0.txt'), 'a square');
  await assert.rejects(passOver({ data_root: bare }), {
    code: 'invalid-argument',
    message: /gave no item[\s\S]*missing-map: 1 \(0\.png\)/,
  });
  await pair(maps, [['0.png', 20, 16]]);
  assert.deepEqual((await passOver({ data_root: bare, conditioning_root: maps })).names, ['0.png']);
});

test('settings of a preprocessor that is not named, and one without its network, are refused', async () => {
  for (const [setting, message] of [
    ['threshold_a=3', /threshold_a is a setting of a preprocessor/],
    ['annotator=hed', /needs the weights of .*annotator_path names no file/],
    ['annotator=elephant', /no preprocessor elephant/],
  ] as const)
    await assert.rejects(eventsOf(optionsOf('controlnet', 'refused', [`model.params.${setting}`])), { message });
});
