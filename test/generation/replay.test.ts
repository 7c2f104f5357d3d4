/** A picture made with any setting is made again from its record: byte for byte, and it is another picture than without the setting. */

import type { Classifier } from '../../src/model/classifier.ts';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { fieldNames } from '../../src/generation/check-request.ts';
import { joinControls, splitControls } from '../../src/generation/control-inputs.ts';
import type { TaskOptions } from '../../src/generation/inputs.ts';
import { type GenerationRecord, recordSchema, replayRequest } from '../../src/generation/record.ts';
import { tasks } from '../../src/generation/request.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import type { Image } from '../../src/image/image.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import type { Model } from '../../src/model/model.ts';
import type { GeneratedImage } from '../../src/pipelines/events.ts';
import { generate } from '../../src/pipelines/generate.ts';
import { pictures as picturesOf } from '../../src/pipelines/pictures.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { type SampleControls, sampleControls } from '../control-models.ts';
import { ifModel, ifStageOne, ifStageTwo } from '../if-models.ts';
import { randomClassifier } from '../random-classifier.ts';
import { reference } from '../reference.ts';
import { classModel, layoutModel, randomModel, refinerModel, sdxlModel, vqModel } from '../random-models.ts';
import { noise, rows } from './replay-rows.ts';
import { everySamplerSetting, type Field } from './sample-requests.ts';

let engine: Engine;
let models: {
  readonly tiny: Model;
  readonly vq: Model;
  readonly classes: Model;
  readonly xl: Model;
  readonly layout: Model;
  readonly if: Model;
};
let enlarger: Model;
let refiner: Model;
let classifiers: Readonly<Record<'tiny' | 'classes', Classifier>>;
let controls: SampleControls;
let image: Image;
let mask: Image;
const taesd = reference('networks/taesd/weights.safetensors');
before(async () => {
  engine = createNodeEngine({ threads: 1 });
  const [tiny, vq, classes, xl, layout] = await Promise.all([
    loadModel(reference('diffusion/pipelines/tiny.ckpt'), { engine, taesd }),
    randomModel(vqModel, engine),
    randomModel(classModel, engine),
    randomModel(sdxlModel, engine),
    randomModel(layoutModel, engine),
  ]);
  const [one, two] = [await ifModel(engine, ifStageOne), await ifModel(engine, ifStageTwo)];
  models = { tiny, vq, classes, xl, layout, if: one };
  enlarger = two;
  refiner = await randomModel(refinerModel, engine, 'refiner.safetensors');
  const { classes: classModelOpen, tiny: tinyOpen } = models;
  const [ofTiny, ofClasses] = [tinyOpen, classModelOpen].map((model, i) =>
    randomClassifier(engine, {
      channels: model.latentChannels,
      side: (i === 0 ? 64 : 16) / model.downsampling,
      classes: 5,
    }),
  ) as [Promise<Classifier>, Promise<Classifier>];
  classifiers = { tiny: await ofTiny, classes: await ofClasses };
  [image, mask] = (await Promise.all(
    ['init', 'mask'].map((name) =>
      nodeImageCodec.decode(readFileSync(reference(`diffusion/pipelines/images/${name}.png`))),
    ),
  )) as [Image, Image];
  controls = sampleControls(tiny, image);
});
after(async () => {
  await controls?.dispose();
  for (const classifier of Object.values(classifiers)) await classifier[Symbol.asyncDispose]();
  for (const model of [...Object.values(models), refiner, enlarger]) await model.dispose();
  await engine.dispose();
});

const pictures = (model: Model, options: TaskOptions) => picturesOf(generate(model, options));

/** The record as a reader of the picture's file has it. */
async function throughFile(made: GeneratedImage): Promise<GenerationRecord> {
  const file = await nodeImageCodec.encode(made.image, { format: 'png', metadata: { record: made.record } });
  return recordSchema.parse(readImageMetadata(file).record);
}

const start = (batch: number): Tensor<'float32'> => new TorchGenerator(9).randn([batch, 4, 8, 8]);
const base = { task: 'txt2img', prompt: 'red apple', width: 64, height: 64, steps: 3, seed: 5, watermark: false };

const complete = (given: object): TaskOptions => {
  const {
    refined,
    judged: judge,
    enlarge,
    ...options
  } = { refined: false, judged: undefined, enlarge: false, ...given };
  const task: { task: string; control?: string[]; imagePrompts?: string[] } = { ...base, ...options };
  return {
    ...task,
    ...(refined ? { refiner } : {}),
    ...(judge ? { classifier: classifiers[judge as 'tiny'] } : {}),
    ...(enlarge ? { enlarge: [{ model: enlarger, steps: 2, noiseLevel: 100 }] } : {}),
    ...(task.control ? { control: task.control.map(controls.option) } : {}),
    ...(task.imagePrompts ? { imagePrompts: task.imagePrompts.map(controls.option) } : {}),
    ...(task.task === 'txt2img' ? {} : { image }),
    ...(task.task === 'inpaint' ? { mask } : {}),
  } as TaskOptions;
};

async function isMadeAgain(model: Model, options: TaskOptions, made: GeneratedImage): Promise<void> {
  const {
    image,
    mask,
    startNoise,
    refiner: second,
    classifier,
    enlarge,
  } = {
    image: undefined,
    mask: undefined,
    ...options,
  };
  const record = await throughFile(made);
  assert.equal(record.refiner, second?.label);
  const { inputs: controlInputs } = splitControls(options);
  const replayed = replayRequest(record);
  const request = {
    ...replayed,
    refiner: second,
    classifier,
    ...(enlarge ? { enlarge: record.enlarge?.map((stage) => ({ ...stage, model: enlarger })) } : {}),
    ...joinControls(replayed, controlInputs),
    ...(image ? { image } : {}),
    ...(mask ? { mask } : {}),
    startNoise,
  };
  const again = (await pictures(model, request as TaskOptions))[record.index];
  assert.ok(again);
  assert.deepEqual(again.image.data, made.image.data);
}

for (const field of new Set(tasks.flatMap((task) => fieldNames(task)))) {
  if (field === 'task') continue;
  test(`${field}: the picture is made again`, async () => {
    assert.ok(Object.hasOwn(rows, field), `${field} has no row here`);
    for (const { options, without, model: name = 'tiny', changesNothing } of rows[field as Field]) {
      const model = models[name];
      const all = await pictures(model, complete(options));
      // The last is the one that most depends on what was drawn before it.
      for (const made of new Set([all[0], all.at(-1)])) {
        assert.ok(made);
        await isMadeAgain(model, complete(options), made);
      }
      if (changesNothing) continue;
      const plain = await pictures(model, complete(without ?? { ...options, [field]: undefined }));
      assert.notDeepEqual(all.at(-1)?.image.data, plain.at(-1)?.image.data, `${field} changes nothing`);
    }
  });
}

test('every setting of a sampler is in the record', async () => {
  for (const sampler of ['euler', 'restart', 'dpm-solver', 'dpm-adaptive']) {
    const options = complete({ sampler, steps: 4, samplerSettings: everySamplerSetting });
    const [made] = await pictures(models.tiny, options);
    assert.ok(made);
    assert.deepEqual((await throughFile(made)).samplerSettings, everySamplerSetting);
    await isMadeAgain(models.tiny, options, made);
  }
});

test('start noise that was given is asked for by its digest', async () => {
  const options = { ...complete({ batchSize: 2, width: undefined, height: undefined }), startNoise: start(2) };
  const [made] = await pictures(models.tiny, options);
  assert.ok(made);
  assert.match(made.record.digests.startNoise ?? '', /^[0-9a-f]{64}$/);
  await isMadeAgain(models.tiny, options, made);
});

test('a sampler that chooses its steps by the whole batch is replayed with the whole batch', async () => {
  const options = complete({ sampler: 'dpm-adaptive', noise, seeds: [1, 2], prompt: ['a', 'b'], guidanceScale: 1 });
  const [, made] = await pictures(models.tiny, options);
  assert.ok(made);
  await isMadeAgain(models.tiny, options, made);
});
