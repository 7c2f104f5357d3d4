/** What the command line does with the events of a run: progress, previews, pictures, the grid and the latents. */

import { isAbsolute, relative } from 'node:path';
import { throwIfAborted } from '../errors.ts';
import type { FileIdentity } from '../files/byte-source.ts';
import type { WriteFileOptions } from '../files/write-file-node.ts';
import type { GeneratedImage, Pipeline } from '../pipelines/events.ts';
import type { CliContext } from './command.ts';
import type { GenerationValues, ModelValues, OutputValues } from './generation-options.ts';
import type { PictureFiles } from './output-files.ts';
import type { Progress } from './progress.ts';
import { createPreview, showImages, terminalGraphics } from './show.ts';
import type { Stopwatch } from './stopwatch.ts';

export interface Consumer {
  readonly context: CliContext;
  readonly values: ModelValues & OutputValues & Pick<GenerationValues, 'refiner' | 'classifier' | 'enlarge'>;
  readonly files: PictureFiles;
  readonly progress: Progress;
  readonly watch: Stopwatch;
  /** Pictures in a row of the grid. */
  readonly columns: number;
  /** SHA-256 of the model's file, computed while the pictures are generated. */
  readonly hash: Promise<string | undefined> | undefined;
}

const stageNames = {
  text: 'reading the prompt',
  image: 'reading the picture',
  sampling: 'loading the network',
  decoding: 'decoding',
  checking: 'checking',
} as const;
/** Milliseconds between two previews. */
const previewPause = 1000;

/** Shows the steps of a run and saves its pictures, its grid and its latents. */
export async function consume(pipeline: Pipeline, consumer: Consumer): Promise<void> {
  const { context, values, files, progress, watch } = consumer;
  const graphics = terminalGraphics(context, values);
  const preview = createPreview(context, progress, graphics);
  let previewed = context.now();
  let previewWritten: FileIdentity | undefined;
  for await (const event of pipeline) {
    throwIfAborted(context.signal);
    if (event.kind === 'stage') {
      watch.begin(event.stage);
      progress.stage(stageNames[event.stage]);
    } else if (event.kind === 'step') {
      watch.step();
      // The codec takes a while to load; this thread is idle while the engine computes a step.
      if (!values.skipSave) void loadSaving().catch(() => undefined);
      progress.step(
        event.iterations > 1 ? `${event.iteration}/${event.iterations} sampling` : 'sampling',
        event.step,
        event.steps,
      );
      if (
        (values.preview || values.previewFile !== undefined) &&
        event.step < event.steps &&
        context.now() - previewed > previewPause
      ) {
        const images = await event.preview();
        if (values.preview) await preview.show(images);
        if (values.previewFile !== undefined && images[0])
          previewWritten = await writePreview(values.previewFile, images, {
            signal: context.signal,
            replace: values.force || previewWritten,
          });
        previewed = context.now();
      }
    } else if (event.kind === 'images') {
      watch.end();
      preview.clear();
      for (const made of event.images) await savePicture(made, event.iteration, consumer);
      progress.clear();
      await showImages(
        context,
        progress,
        graphics,
        event.images.map(({ image }) => image),
      );
    } else {
      if (values.saveLatents !== undefined)
        await (await import('./latents-file.ts')).saveLatents(values.saveLatents, event.latents, event.startNoise, {
          signal: context.signal,
          replace: values.force,
        });
      if (files.grid !== undefined && !values.skipGrid && event.images.length > 1)
        await saveGrid(event.images, files.grid, consumer);
    }
  }
}

const loadSaving = () => import('../pipelines/image-files-node.ts');

async function savePicture(
  generated: GeneratedImage,
  iteration: number,
  { context, values, files, progress, watch, hash }: Consumer,
): Promise<void> {
  let path: string | null = null;
  const refiner = recordedPath(values.refiner) ?? generated.record.refiner;
  const classifier = recordedPath(values.classifier) ?? generated.record.classifier;
  const { enlarge } = generated.record;
  const named = {
    model: recordedPath(values.model) ?? generated.record.model,
    modelHash: await soon(hash),
    ...(refiner === undefined ? {} : { refiner }),
    ...(classifier === undefined ? {} : { classifier }),
    ...(enlarge
      ? { enlarge: enlarge.map((stage, i) => ({ ...stage, model: recordedPath(values.enlarge?.[i]) ?? stage.model })) }
      : {}),
  };
  const made = { ...generated, record: { ...generated.record, ...named } };
  if (!values.skipSave) {
    const { saveImage } = await loadSaving();
    path = await files.picture((name, replace) => saveImage(name, made, { signal: context.signal, replace }));
  }
  progress.clear();
  if (values.json) {
    const { index, record, flagged } = made;
    const line = {
      path,
      seed: record.seed,
      iteration,
      index,
      flagged,
      record,
      timings: watch.timings(),
    };
    context.out.write(`${JSON.stringify(line)}\n`);
    return;
  }
  if (made.flagged)
    context.err.write(
      'sd: The safety checker flagged this picture; it is black. (--no-safety turns the checker off.)\n',
    );
  if (path !== null) context.out.write(`${path}\n`);
}

async function saveGrid(
  images: readonly GeneratedImage[],
  write: NonNullable<PictureFiles['grid']>,
  { context, values, progress, columns }: Consumer,
): Promise<void> {
  const { imageGrid } = await import('../image/image-grid.ts');
  const { nodeImageCodec } = await import('../image/codec/codec-node.ts');
  const { writeNewFile } = await import('../files/write-file-node.ts');
  const grid = imageGrid(
    images.map(({ image }) => image),
    { columns },
  );
  const bytes = await nodeImageCodec.encode(grid, { format: 'png' });
  const path = await write((name, replace) => writeNewFile(name, [bytes], { signal: context.signal, replace }));
  progress.clear();
  if (!values.json) context.out.write(`${path}\n`);
}

async function writePreview(
  path: string,
  images: Awaited<ReturnType<Extract<import('../pipelines/events.ts').PipelineEvent, { kind: 'step' }>['preview']>>,
  options: WriteFileOptions,
): Promise<FileIdentity> {
  const { imageGrid } = await import('../image/image-grid.ts');
  const { encodePng } = await import('../image/codec/png-encode.ts');
  const { writeNewFile } = await import('../files/write-file-node.ts');
  return writeNewFile(path, [await encodePng(imageGrid(images))], options);
}

/** The path below the current directory, for `sd replay` to find the model; undefined for models elsewhere. */
function recordedPath(model: string | undefined): string | undefined {
  if (model === undefined) return undefined;
  const path = relative(process.cwd(), model);
  return path === '' || path.startsWith('..') || isAbsolute(path) ? undefined : path;
}

/** Milliseconds to wait for the model's hash. */
const hashPatience = 2000;

/** The hash if it is available soon; a picture does not wait for a large file. */
function soon(hash: Promise<string | undefined> | undefined): Promise<string | undefined> {
  return Promise.race([
    Promise.resolve(hash),
    new Promise<undefined>((resolve) => setTimeout(resolve, hashPatience, undefined).unref()),
  ]);
}
