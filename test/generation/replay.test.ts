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

interface Row {
  readonly options: object;
  /** The picture without the setting. Default: `options` without the field. */
  readonly without?: object;
  readonly model?: keyof typeof models;
  /** The setting changes nothing in these circumstances: only the replay is compared. */
  readonly changesNothing?: true;
}

const noise = 'a1111-cpu';
const ancestral = { noise, sampler: 'Euler a' };
const small = { width: 32, height: 32, steps: 4 };
const wide = { width: 64, height: 32 };
const judged = { classLabels: [2], classifierScale: 900 };
const tiles = { width: 16, height: 16 };
const pixels = { width: 16, height: 16, steps: 2, batchSize: 2, sampler: 'DDPMScheduler' };
const box = { class: 3, box: [0.1, 0.2, 0.5, 0.5] } as const;
const start = (batch: number): Tensor<'float32'> => new TorchGenerator(9).randn([batch, 4, 8, 8]);

/** One row at least for every field. */
const rows: { readonly [F in Field]: readonly Row[] } = {
  prompt: [{ options: { prompt: 'a blue car' } }, { options: { prompt: ['a', 'b'] } }],
  promptBatches: [{ options: { promptBatches: [['a', 'b'], ['c']], prompt: undefined, fixedCode: true } }],
  negativePrompt: [{ options: { negativePrompt: 'ugly' } }, { options: { negativePrompt: ['x', 'y'], batchSize: 2 } }],
  promptSyntax: [{ options: { promptSyntax: 'a1111', prompt: '(red:1.6) apple' } }],
  promptSettings: [
    { options: { promptSyntax: 'a1111', prompt: '(red:1.6) apple', promptSettings: { emphasis: 'No norm' } } },
    { options: { promptSyntax: 'a1111', prompt: '[a:b:1]', promptSettings: { firstPassSteps: 3 } } },
  ],
  secondPrompt: [{ model: 'xl', options: { ...small, secondPrompt: ['a', 'b'], batchSize: 2 } }],
  secondNegativePrompt: [{ model: 'xl', options: { ...small, secondNegativePrompt: 'ugly' } }],
  emptyNegative: [{ model: 'xl', options: { ...small, emptyNegative: 'encoded' } }],
  sizeConditions: [
    { model: 'xl', options: { ...small, sizeConditions: { crop: { top: 64, left: 0 } } } },
    { model: 'xl', options: { ...small, sizeConditions: { negative: { original: wide } } } },
    { model: 'xl', options: { ...small, promptSyntax: 'a1111', sizeConditions: { negative: { target: wide } } } },
  ],
  refiner: [
    { model: 'xl', options: { ...small, refined: true }, without: small },
    { model: 'xl', options: { ...small, refined: true, promptSyntax: 'a1111', prompt: '[a:b:2] car' }, without: small },
  ],
  classifier: [
    { options: { ...judged, judged: 'tiny' }, without: {} },
    {
      model: 'classes',
      options: { ...judged, ...tiles, judged: 'classes' },
      without: { classLabels: [2], ...tiles },
    },
  ],
  classifierScale: [
    { options: { ...judged, judged: 'tiny', classifierScale: 40 }, without: { classLabels: [2], judged: 'tiny' } },
  ],
  enlarge: tasks.map((task) => ({ model: 'if', options: { ...pixels, task, enlarge: true } })),
  refinerSwitchAt: [{ model: 'xl', options: { ...small, refined: true, refinerSwitchAt: 0.3 } }],
  refinerSwitchBySteps: [
    { model: 'xl', options: { ...small, refined: true, refinerSwitchAt: 0.6, refinerSwitchBySteps: true } },
  ],
  classLabels: [
    {
      model: 'classes',
      options: { classLabels: [3, 7], width: 16, height: 16 },
      without: { classLabels: [2], width: 16, height: 16 },
    },
  ],
  boxes: [
    {
      model: 'layout',
      options: { boxes: [box, { ...box, class: 5 }], width: 16, height: 16 },
      without: { boxes: [box], width: 16, height: 16 },
    },
  ],
  boxClasses: [
    {
      model: 'layout',
      options: { boxes: [{ ...box, isOccluded: true }], boxClasses: 9, width: 16, height: 16 },
      without: { boxes: [{ ...box, isOccluded: true }], boxClasses: 11, width: 16, height: 16 },
    },
  ],
  cleanCaption: [{ model: 'if', options: { ...pixels, prompt: 'a (red) apple', cleanCaption: false } }],
  clipSkip: [{ options: { clipSkip: 2 } }],
  preset: [{ options: { preset: 'lcm' } }, { options: { preset: 'hyper', guidanceScale: 2 } }],
  steps: [{ options: { steps: 4 } }],
  sampler: [{ options: { sampler: 'DPM++ 2M SDE Karras' } }, { options: { sampler: 'PNDMScheduler', steps: 4 } }],
  schedule: [{ options: { sampler: 'euler', schedule: 'karras' } }],
  scheduleSettings: [
    {
      options: { sampler: 'euler', schedule: 'karras', scheduleSettings: { rho: 3, sigmaMax: 10 } },
      without: { sampler: 'euler', schedule: 'karras' },
    },
  ],
  eta: [{ options: { eta: 0.7 } }],
  quantizeDenoised: [
    { model: 'vq', options: { quantizeDenoised: true, width: 16, height: 16 }, without: { width: 16, height: 16 } },
  ],
  samplerSettings: [{ options: { sampler: 'euler', samplerSettings: { sChurn: 20 } }, without: { sampler: 'euler' } }],
  guidanceScale: [{ options: { guidanceScale: 2 } }],
  guidanceRescale: [{ options: { guidanceRescale: 0.7 } }],
  noiseLevel: [{ options: { task: 'img2img', noiseLevel: 3 }, changesNothing: true }],
  freeU: [{ options: { freeU: { b1: 1.5, b2: 1.6, s1: 0.9, s2: 0.2 } } }],
  selfAttentionGuidance: [{ options: { selfAttentionGuidance: 0.75 } }],
  perturbedAttention: [{ options: { perturbedAttention: { scale: 3, layers: ['mid', 'up.0'] } } }],
  tokenMerging: [{ options: { tokenMerging: 0.5 } }],
  deepCache: [{ options: { deepCache: { interval: 2 }, steps: 4 } }],
  seamless: [{ options: { seamless: 'both' } }, { options: { seamless: 'x', promptSyntax: 'a1111' } }],
  maskedContent: [{ options: { task: 'inpaint', noise, maskedContent: 'latent noise', strength: 0.5 } }],
  keepRule: [{ options: { task: 'inpaint', sampler: 'euler', keepRule: 'after' } }],
  softInpainting: [{ options: { task: 'inpaint', sampler: 'euler', softInpainting: { blendScale: 2 } } }],
  imageGuidanceScale: [{ options: { task: 'img2img', imageGuidanceScale: 2 }, changesNothing: true }],
  outpaint: [{ options: { ...ancestral, task: 'img2img', outpaint: { left: 16 } } }],
  colorCorrection: tasks.slice(1).map((task) => ({ options: { task, colorCorrection: true } })),
  seed: [{ options: { seed: 2n ** 63n + 5n } }, { options: { noise, seed: -4 } }],
  seeds: [{ options: { noise, seeds: [3, 2n ** 60n], prompt: ['a', 'b'] } }],
  noise: [{ options: { noise: 'a1111-nv' } }, { options: { noise: 'comfy', eta: 1 } }],
  noiseSettings: [
    { options: { noise, noiseSettings: { subseed: 5, subseedStrength: 0.4 } }, without: { noise } },
    { options: { noise, noiseSettings: { seedResizeFrom: { width: 32, height: 32 } } }, without: { noise } },
    { options: { ...ancestral, noiseSettings: { etaNoiseSeedDelta: 31337 } }, without: ancestral },
  ],
  batchSize: [{ options: { batchSize: 2 }, changesNothing: true }],
  iterations: [{ options: { iterations: 3, eta: 1 }, changesNothing: true }, { options: { noise, iterations: 2 } }],
  firstIteration: [{ options: { iterations: 2, firstIteration: 2 }, without: {} }],
  earlierBatches: [
    { options: { iterations: 3, earlierBatches: [2, 1] }, without: { iterations: 3, firstIteration: 3 } },
  ],
  largestBatch: [{ options: { largestBatch: 3, fixedCode: true, eta: 1 }, without: { fixedCode: true, eta: 1 } }],
  fixedCode: [{ options: { fixedCode: true, iterations: 2, eta: 1 }, without: { iterations: 2 } }],
  width: [{ options: { width: 96 } }],
  height: [{ options: { height: 96 } }],
  safety: [{ options: { safety: false }, changesNothing: true }],
  watermark: [
    { options: { watermark: true, width: 256, height: 256, steps: 1 }, without: { width: 256, height: 256, steps: 1 } },
  ],
  bytes: [{ options: { bytes: 'diffusers' } }],
  decoder: [{ options: { decoder: 'taesd' } }],
  patches: [{ options: { patches: { size: 8, stride: 8 }, width: 96 } }],
  control: [
    { options: { control: ['net'] } },
    { options: { control: ['net', 'adapter'], noise: 'diffusers' }, without: { control: ['net'], noise: 'diffusers' } },
    { options: { task: 'img2img', control: ['net'] } },
    { options: { task: 'inpaint', control: ['net'], promptSyntax: 'a1111' } },
  ],
  imagePrompts: [{ options: { imagePrompts: ['prompt'] } }],
  controlRule: [{ options: { control: ['late'], controlRule: 'diffusers' }, without: { control: ['late'] } }],
  strength: [
    { options: { task: 'img2img', strength: 0.4 } },
    { options: { task: 'inpaint', strength: 0.4 } },
    { options: { task: 'inpaint' }, changesNothing: true },
  ],
  strengthRule: [
    {
      options: { task: 'img2img', strength: 0.5, strengthRule: 'all', sampler: 'euler' },
      without: { task: 'img2img', strength: 0.5, sampler: 'euler' },
    },
  ],
  maskRule: [{ options: { task: 'inpaint', maskRule: 'soft' }, without: { task: 'inpaint' } }],
};

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
