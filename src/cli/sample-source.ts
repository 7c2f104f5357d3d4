/** What `sd sample` samples from: a model of pixels of guided-diffusion, or a latent diffusion model, chosen by the names in the file. */

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import type { BulkMaker } from '../pipelines/bulk/maker.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type OptionValues, UsageError } from './options.ts';
import type { sampleOptions } from './sample-options.ts';

type Values = OptionValues<typeof sampleOptions>;

export interface SampleSource {
  readonly maker: BulkMaker;
  /** Pictures where the caller names no number. */
  readonly count: number | undefined;
  /** What the pictures depend on, besides the values of the options. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly close: () => Promise<void>;
}

export interface SampleContext {
  readonly engine: Engine;
  readonly onStep: (step: number, steps: number) => void;
}

/** A bare UNet under the names of guided-diffusion. */
const isPixelModel = ({ entries }: WeightSource): boolean => entries.has('input_blocks.0.0.weight');

async function fileFacts(path: string): Promise<unknown> {
  return { name: basename(path), bytes: (await stat(path)).size };
}

/** The pictures of an archive: `arr_0` [n, h, w, 3] of bytes, and their classes `arr_1`. */
async function smallPictures(path: string, side: number) {
  const { openFile } = await import('../files/byte-source-node.ts');
  const { openNpz } = await import('../formats/npz.ts');
  const source = await openFile(path);
  try {
    const archive = await openNpz(source);
    const pictures = await archive.read('arr_0');
    const [count = 0, height, width, channels] = pictures.shape;
    if (pictures.dtype !== 'uint8' || height !== side || width !== side || channels !== 3 || count === 0)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${path}: arr_0 is ${pictures.dtype} [${pictures.shape.join(', ')}], and the upsampler takes uint8 [pictures, ${side}, ${side}, 3].`,
      );
    const labels = archive.names.includes('arr_1') ? await archive.read('arr_1') : undefined;
    const size = 3 * side * side;
    const { float32 } = await import('../tensor/tensor.ts');
    const read = async (index: number): Promise<{ picture: Tensor<'float32'>; label?: number }> => {
      const at = index % count;
      const data = new Float32Array(size);
      for (let i = 0; i < side * side; i++)
        for (let c = 0; c < 3; c++)
          data[c * side * side + i] = Math.fround(Number(pictures.data[at * size + i * 3 + c]) / 127.5) - 1;
      const picture = float32([1, 3, side, side], data);
      return labels ? { picture, label: Number(labels.data[at]) } : { picture };
    };
    return { count, read };
  } finally {
    await source.close();
  }
}

/** The flags of a classifier's file that concern the classifier. */
const classifierPart = (flags: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(flags).filter(([name]) => name.startsWith('classifier_') || name === 'num_classes'),
  );

/** The flags of a model's file that concern the model. */
const modelPart = (flags: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(flags).filter(([name]) => !name.startsWith('classifier_')));

async function pixelSource(
  path: string,
  weights: WeightSource,
  values: Values,
  run: SampleContext,
): Promise<SampleSource> {
  const {
    admFlagsFor,
    classifierFlags,
    parseAdmFlags,
    publishedAdmFlags,
    publishedAdmModels,
    publishedClassifierScale,
    storedAdmFlags,
  } = await import('../config/adm-published.ts');
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  const own = storedAdmFlags(weights.metadata, path);
  if (values.flags === undefined && !own && !publishedAdmFlags(path))
    throw new UsageError(
      `${path} is a model of guided-diffusion, whose flags are not in the file. Give --flags "--image_size 64 …" as its README has them, or a published name (${publishedAdmModels.join(', ')}).`,
    );
  const classifier = values.classifier === undefined ? undefined : await openWeightsAt(values.classifier);
  const ofClassifier = classifier && storedAdmFlags(classifier.metadata, values.classifier ?? '');
  const given = { ...modelPart(own), ...classifierPart(ofClassifier), ...parseAdmFlags(values.flags ?? '') };
  const plain = admFlagsFor(path, given);
  const { steps } = values;
  const respacing = values.respacing ?? (steps === undefined ? undefined : `${values.ddim ? 'ddim' : ''}${steps}`);
  const flags = admFlagsFor(path, {
    ...classifierFlags(plain.image_size),
    ...given,
    ...(respacing === undefined ? {} : { timestep_respacing: respacing }),
  });
  const { openPixelModel } = await import('../model/pixel-model.ts');
  const { pixelMaker } = await import('../pipelines/bulk/pixel-maker.ts');
  const model = await openPixelModel({ engine: run.engine, flags, weights, classifier });
  const { smallSide } = model;
  const base =
    values.base === undefined || smallSide === undefined ? undefined : await smallPictures(values.base, smallSide);
  const classifierScale = classifier ? (values.classifierScale ?? publishedClassifierScale(path)) : undefined;
  return {
    maker: pixelMaker({
      model,
      seed: values.seed ?? 0,
      classes: values.classes,
      method: values.ddim ? 'ddim' : 'ddpm',
      eta: values.eta,
      classifierScale,
      small: base?.read,
      onStep: run.onStep,
    }),
    count: base?.count,
    facts: {
      flags,
      ddim: values.ddim,
      ...(values.eta === undefined ? {} : { eta: values.eta }),
      ...(values.classifier ? { classifier: await fileFacts(values.classifier), classifierScale } : {}),
      ...(values.base ? { base: await fileFacts(values.base) } : {}),
    },
    async close() {
      await model[Symbol.asyncDispose]();
      await classifier?.close();
    },
  };
}

/** The averaged weights, if the file has any. */
async function usesAverage(path: string, values: Values): Promise<boolean> {
  if (values.noEma) return false;
  const { openCheckpointAt } = await import('../checkpoints/open-checkpoint-node.ts');
  const checkpoint = await openCheckpointAt(path, values.config === undefined ? {} : { config: values.config });
  await checkpoint.close();
  return checkpoint.ema === 'available';
}

/** Prompts, one per line; a break at the very end begins no further one. */
const linesOf = (text: string): string[] => text.replace(/\r?\n$/, '').split(/\r?\n/);

/** The scale of guidance of scripts/txt2img.py, and of the notebook for class-conditional models. */
const scales: Readonly<Record<string, number>> = { txt2img: 7.5, class: 3 };

async function modelSource(path: string, values: Values, run: SampleContext): Promise<SampleSource> {
  const { loadModel } = await import('../model/load-model-node.ts');
  const { modelMaker } = await import('../pipelines/bulk/model-maker.ts');
  const { trainingConditioner } = await import('../conditioning/conditioners.ts');
  const { readTextOf } = await import('../files/open-node.ts');
  const ema = await usesAverage(path, values);
  const model = await loadModel(path, {
    engine: run.engine,
    ...(ema ? { ema } : {}),
    ...(values.config === undefined ? {} : { config: values.config }),
    ...(values.vocabulary === undefined ? {} : { vocabulary: values.vocabulary }),
  });
  const { config, kind } = model.checkpoint;
  const prompts = values.prompts === undefined ? undefined : linesOf(await readTextOf('text', values.prompts));
  const all = trainingConditioner(config).classes;
  const guided = model.conditioner.empty !== undefined;
  const { loadClassifier } = await import('../model/load-classifier-node.ts');
  const classifier = values.classifier === undefined ? undefined : await loadClassifier(values.classifier, model);
  const { classifierScale } = values;
  const settings = {
    steps: values.steps ?? 50,
    eta: values.eta ?? (kind === 'unconditional' ? 1 : 0),
    guidanceScale: values.scale ?? (guided ? (scales[kind] ?? 1) : 1),
    ...(values.sampler === undefined ? {} : { sampler: values.sampler as 'ddim' }),
    ...(values.width === undefined ? {} : { width: values.width }),
    ...(values.height === undefined ? {} : { height: values.height }),
  };
  return {
    maker: modelMaker({
      model,
      seed: values.seed ?? 0,
      prompts,
      classes: values.classes,
      classCount: kind === 'class' ? (guided ? all - 1 : all) : classifier?.classes,
      settings: { ...settings, ...(classifier ? { classifier, classifierScale } : {}) },
      onStep: run.onStep,
    }),
    count: prompts?.length,
    facts: {
      ema,
      ...settings,
      ...(values.classifier
        ? { classifier: await fileFacts(values.classifier), classifierScale: classifierScale ?? 1 }
        : {}),
      ...(values.prompts ? { prompts: await fileFacts(values.prompts) } : {}),
    },
    async close() {
      await classifier?.[Symbol.asyncDispose]();
      await model.dispose();
    },
  };
}

/** Opens the model of the options. */
export async function sampleSource(path: string, values: Values, run: SampleContext): Promise<SampleSource> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  if (!isFolder) {
    const { openWeightsAt } = await import('../formats/open-weights-node.ts');
    const weights = await openWeightsAt(path);
    if (isPixelModel(weights)) {
      const source = await pixelSource(path, weights, values, run).catch(async (error: unknown) => {
        await weights.close();
        throw error;
      });
      return {
        ...source,
        async close() {
          await source.close();
          await weights.close();
        },
      };
    }
    await weights.close();
  }
  return modelSource(path, values, run);
}
