/** What `sd sample` samples from: a model of pixels or a latent diffusion model, chosen by the names in the file. */

import { stat } from 'node:fs/promises';
import { isImagenFile, openLucidFile } from '../checkpoints/lucid-file.ts';
import { StableDiffusionError } from '../errors.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { fileFacts, type SampleContext, type SampleSource, type SampleValues } from './sample-kind.ts';

/** The averaged weights, if the file has any. */
async function usesAverage(path: string, values: SampleValues): Promise<boolean> {
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

async function modelSource(path: string, values: SampleValues, run: SampleContext): Promise<SampleSource> {
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

type OpenPixels = (
  path: string,
  weights: WeightSource,
  values: SampleValues,
  run: SampleContext,
) => Promise<SampleSource>;

interface PixelKind {
  readonly matches: (weights: WeightSource) => boolean;
  readonly open: () => Promise<OpenPixels>;
}

/** Files that hold a model of pixels without an autoencoder. */
const pixelKinds: readonly PixelKind[] = [
  {
    // A bare UNet under the names of guided-diffusion.
    matches: ({ entries }) => entries.has('input_blocks.0.0.weight'),
    open: async () => (await import('./sample-adm-source.ts')).admSource,
  },
  {
    matches: (weights) => openLucidFile(weights) !== undefined,
    open: async () => (await import('./sample-lucid-source.ts')).lucidSource,
  },
  {
    matches: isImagenFile,
    async open() {
      throw new StableDiffusionError(
        'model-unknown',
        'The file holds UNets of imagen-pytorch, and this program does not have that network.',
      );
    },
  },
];

/** The source of a file of pixels; undefined for other files, which are closed again. */
async function pixelSource(path: string, values: SampleValues, run: SampleContext): Promise<SampleSource | undefined> {
  const { openWeightsAt } = await import('../formats/open-weights-node.ts');
  const weights = await openWeightsAt(path);
  const close = () => weights.close();
  try {
    const kind = pixelKinds.find(({ matches }) => matches(weights));
    const source = kind && (await (await kind.open())(path, weights, values, run));
    if (!source) await close();
    return source && { ...source, close: () => source.close().then(close) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens the model of the options. */
export async function sampleSource(path: string, values: SampleValues, run: SampleContext): Promise<SampleSource> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  return (isFolder ? undefined : await pixelSource(path, values, run)) ?? modelSource(path, values, run);
}
