/**
 * The folder of a run:
 *
 *     config.yaml                       the configuration
 *     metrics.jsonl                     values by step
 *     events.out.tfevents.…             the same for TensorBoard, with sample grids
 *     samples/step-00001000.png         sample grids
 *     images/train/NAME_gs-….png        logged pictures, as latent-diffusion's
 *     checkpoints/last.safetensors, best-…
 *     model.safetensors, model.yaml     the result: the model alone, averaged if there are averages, as of the last checkpoint
 *     report.html                       a report for people, optional
 *
 * Every file except the two logs is written atomically; the logs may lose their last line.
 */

import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import type { ImageCodec } from '../../image/codec/codec.ts';
import type { Image } from '../../image/image.ts';
import { imageGrid } from '../../image/image-grid.ts';
import { fileError } from '../../files/byte-source-node.ts';
import { readFileOf, readTextIfThere } from '../../files/open-node.ts';
import { type Lock, takeLock } from '../../files/lock-node.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { removeHalfWritten, writeFileAtomic, writeText } from '../../files/write-file-node.ts';
import { type LoggedImages, logBackground, logFileName, type LogPlace } from '../image-log.ts';
import {
  type CheckpointContent,
  type CheckpointOptions,
  type Checkpoints,
  openCheckpoints,
  type SavedCheckpoint,
} from './checkpoints-node.ts';
import { type MetricsLog, openMetricsLog } from './metrics-log-node.ts';
import { type ReportSample, runReport, type RunReport } from './run-report.ts';
import { imageRecord, restartRecord, scalarRecord, versionRecord } from './tensorboard-events.ts';

export interface RunOptions {
  /** For the report. */
  readonly title: string;
  /** Text of the configuration, kept as config.yaml. */
  readonly config: string;
  /** Continue the run in the folder. */
  readonly resume: boolean;
  /** Milliseconds since 1970. */
  readonly clock: () => number;
  readonly codec: ImageCodec;
  readonly checkpoints?: CheckpointOptions;
  /** The result: the file's name (default `model.safetensors`), the YAML written next to it, and further files by name. */
  readonly model?: {
    readonly name?: string;
    readonly config?: string;
    readonly files?: Readonly<Record<string, string>>;
  };
  /** Grids shown in the report: the newest so many. Default 24. */
  readonly reportSamples?: number;
}

export interface SampleGridOptions {
  readonly captions?: readonly string[];
  /** Images in a row. Default 8. */
  readonly columns?: number;
}

export type ModelContent = Pick<CheckpointContent, 'entries' | 'provide' | 'metadata'>;

export interface Run {
  readonly folder: string;
  /** The checkpoint of a resumed run, if any. The caller closes it after reading its tensors. */
  readonly resumed: SavedCheckpoint | undefined;
  /** A run was here before, which ended before its first checkpoint: its steps are done again. */
  readonly beganAgain: boolean;
  readonly checkpoints: Checkpoints;
  /** Values by name at a step, to JSONL and TensorBoard. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void>;
  /** A grid of pictures of one size, to samples/ and TensorBoard; gives its path. */
  samples(step: number, images: readonly Image[], options?: SampleGridOptions): Promise<string>;
  /** Logged pictures of one kind as a grid under images/SPLIT; gives its path. */
  logged(pictures: LoggedImages, place: LogPlace): Promise<string>;
  /** The model alone, for others to load, under its name or another; gives its path. */
  model(content: ModelContent, name?: string): Promise<string>;
  /** Rewrites report.html; returns its path. */
  report(now: Pick<RunReport, 'status' | 'progress' | 'problems'>): Promise<string>;
  close(): Promise<void>;
}

const stepName = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/**
 * Opens the folder of a run, creating it if needed. Throws `invalid-argument` if it has a run and `resume` is not set,
 * `file-corrupt` where its last checkpoint is damaged, `file-access`.
 */
export async function openRun(folder: string, options: RunOptions): Promise<Run> {
  await makeFolder(join(folder, 'samples'));
  const before = await runConfig(folder);
  if (before !== undefined && !options.resume) throw runIsThere(folder);
  const lock = await takeLock(join(folder, '.lock'), { what: `the run folder ${folder}` });
  try {
    return await openLockedRun(folder, before, options, lock);
  } catch (cause) {
    await lock.release();
    throw cause;
  }
}

/** The checkpoint to resume from. A run whose newest checkpoint is missing does not start over, because that would discard its progress. */
async function lastCheckpoint(folder: string, checkpoints: Checkpoints): Promise<SavedCheckpoint | undefined> {
  const last = await checkpoints.last();
  if (last) return last;
  const [best] = await checkpoints.best();
  if (best)
    throw new StableDiffusionError(
      'file-not-found',
      `${folder} has no checkpoints/last.safetensors to resume from, but others: copy one, such as ${best.path}, to that name, or start in another folder.`,
    );
  return undefined;
}

/** Writes the finished model, with its configuration and files next to it. Returns its path. */
async function writeModel(
  folder: string,
  { entries, provide, metadata }: Parameters<Run['model']>[0],
  { name = 'model.safetensors', config, files = {} }: NonNullable<RunOptions['model']> = {},
): Promise<string> {
  const path = join(folder, name);
  await writeFileAtomic(path, writeSafetensors(entries, provide, metadata ? { metadata } : {}));
  const beside = {
    ...files,
    ...(config === undefined ? {} : { [name.replace(/\.safetensors$/, '.yaml')]: config }),
  };
  for (const [other, text] of Object.entries(beside)) await writeText(join(folder, other), text);
  return path;
}

/** The run of a folder that is locked. */
async function openLockedRun(
  folder: string,
  before: string | undefined,
  options: RunOptions,
  lock: Lock,
): Promise<Run> {
  const { clock, codec } = options;
  const sampleFolder = join(folder, 'samples');
  const configPath = join(folder, 'config.yaml');
  await removeHalfWritten(folder);
  await removeHalfWritten(sampleFolder);
  const checkpoints = await openCheckpoints(join(folder, 'checkpoints'), options.checkpoints);
  const resumed = options.resume ? await lastCheckpoint(folder, checkpoints) : undefined;
  const start = resumed?.step ?? 0;
  if (before !== undefined && before !== options.config)
    await writeText(join(folder, `config.until-${stepName(start)}.yaml`), before);
  if (before !== options.config) await writeText(configPath, options.config);

  const metrics: MetricsLog = await openMetricsLog(join(folder, 'metrics.jsonl'), start);
  const events = await openEvents(folder, clock());
  const append = async (bytes: Uint8Array): Promise<void> => {
    await events.write(bytes).catch((cause: unknown) => {
      throw fileError(folder, cause);
    });
  };
  await append(versionRecord(clock() / 1000));
  if (before !== undefined) await append(restartRecord({ seconds: clock() / 1000, step: start + 1 }));
  const shown: ReportSample[] = await earlierSamples(sampleFolder, start, options.reportSamples ?? 24, codec);

  return {
    folder,
    resumed,
    beganAgain: before !== undefined && resumed === undefined,
    checkpoints: {
      ...checkpoints,
      async save(content) {
        if (lock.lost.aborted)
          throw new StableDiffusionError('busy', `${folder} was taken over by another run; nothing more is written.`);
        return checkpoints.save(content);
      },
    },
    async scalars(step, values) {
      const seconds = clock() / 1000;
      await metrics.append({ step, time: seconds, values });
      await append(scalarRecord({ seconds, step }, values));
    },
    async samples(step, images, { captions = [], columns } = {}) {
      const grid = imageGrid(images, columns === undefined ? {} : { columns });
      const png = await codec.encode(grid, { format: 'png' });
      const path = join(sampleFolder, `${stepName(step)}.png`);
      await writeFileAtomic(path, [png]);
      await append(
        imageRecord({ seconds: clock() / 1000, step }, 'samples', { width: grid.width, height: grid.height, png }),
      );
      shown.push({ step, picture: await embedded(grid, codec), captions });
      if (shown.length > (options.reportSamples ?? 24)) shown.shift();
      return path;
    },
    async logged({ name, images, columns = 4 }, place) {
      const grid = imageGrid(images, { columns, background: logBackground });
      const at = join(folder, 'images', place.split);
      await makeFolder(at);
      const path = join(at, logFileName(name, place));
      await writeFileAtomic(path, [await codec.encode(grid, { format: 'png' })]);
      return path;
    },
    model: (content, name) => writeModel(folder, content, name === undefined ? options.model : { name }),
    async report(now) {
      const path = join(folder, 'report.html');
      const page = runReport({
        ...now,
        title: options.title,
        config: options.config,
        updated: new Date(clock()).toISOString(),
        metrics: metrics.rows,
        samples: shown,
      });
      await writeText(path, page);
      return path;
    },
    async close() {
      await metrics.close();
      await events.close();
      await lock.release();
    },
  };
}

/** The configuration of the run in a folder, or undefined for an unknown name. */
export const runConfig = (folder: string): Promise<string | undefined> =>
  readTextIfThere('configuration', join(folder, 'config.yaml'));

/** The error of a run that would be started over another. */
export function runIsThere(folder: string): StableDiffusionError {
  return new StableDiffusionError(
    'invalid-argument',
    `${folder} holds a run already. Resume it, or give another folder.`,
  );
}

/** A new file with a name that TensorBoard accepts: the time in seconds, then anything. */
async function openEvents(folder: string, now: number): Promise<FileHandle> {
  for (let number = 0; ; number++) {
    const path = join(
      folder,
      `events.out.tfevents.${String(Math.floor(now / 1000)).padStart(10, '0')}.stable-diffusion-ts.${number}`,
    );
    try {
      return await open(path, 'wx');
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw fileError(path, cause);
    }
  }
}

async function embedded(grid: Image, codec: ImageCodec): Promise<string> {
  const webp = await codec.encode(grid, { format: 'webp', quality: 80 });
  let text = '';
  for (let at = 0; at < webp.length; at += 8192) text += String.fromCharCode(...webp.subarray(at, at + 8192));
  return `data:image/webp;base64,${btoa(text)}`;
}

/** Grids of steps that are kept, for the report. */
async function earlierSamples(folder: string, step: number, count: number, codec: ImageCodec): Promise<ReportSample[]> {
  const steps = (await readdir(folder))
    .flatMap((name) => /^step-(\d+)\.png$/.exec(name)?.[1] ?? [])
    .map(Number)
    .filter((number) => number <= step);
  const out: ReportSample[] = [];
  for (const number of steps.sort((a, b) => a - b).slice(-count)) {
    const grid = await codec.decode(await readFileOf('picture', join(folder, `${stepName(number)}.png`)));
    out.push({ step: number, picture: await embedded(grid, codec), captions: [] });
  }
  return out;
}
