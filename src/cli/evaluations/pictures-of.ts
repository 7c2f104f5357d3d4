/** Pictures of a data set and their features, a few in memory at a time; grids and measures as `sd eval` writes them. */

import type { FeaturesNetwork, PictureFeatures } from '../../evaluation/features.ts';
import type { Sample, ShardedSource } from '../../training/data/sample.ts';
import { gatherJson } from '../../distributed/communicator.ts';
import type { Image } from '../../image/image.ts';
import { beyondEnd, picturesOfRank, type PlacedPicture } from './pictures-of-rank.ts';
import type { Task } from './task.ts';

export interface Picture {
  readonly image: Image<3>;
  readonly caption: string;
}

/**
 * The pictures of a folder (sorted by name), of shards, of Parquet files, of a zip or of an archive, each with its first caption and its
 * place; read a few at a time, so that a set can have any size. With several ranks those of this rank.
 */
export async function* picturesOf(
  folder: string,
  count: number | undefined,
  { context, progress, communicator }: Task,
): AsyncGenerator<readonly PlacedPicture<Picture>[], void, void> {
  await using pictures = await openPictures(folder, context);
  const { files, read } = pictures;
  const total = Math.min(files, count ?? files);
  for await (const some of picturesOfRank(communicator, { files, count: total, atOnce }, read)) {
    yield some;
    if (Number.isFinite(total)) progress.step(folder, (some.at(-1)?.place ?? 0) + 1, total);
  }
}

/** The shorter side of a folder's first picture. */
export async function firstSide(folder: string, { context }: Task): Promise<number> {
  await using pictures = await openPictures(folder, context);
  for (let i = 0; i < pictures.files; i++) {
    const picture = await pictures.read(i);
    if (picture === beyondEnd) break;
    if (picture) return Math.min(picture.image.width, picture.image.height);
  }
  return 0;
}

interface OpenedPictures extends AsyncDisposable {
  /** Infinity where the number is not known. */
  readonly files: number;
  /** By ascending numbers where the number is not known. */
  readonly read: (index: number) => Promise<Picture | undefined | typeof beyondEnd>;
}

/** The pictures of a data set, or of an archive, by number; those that cannot be read are undefined, with a warning. */
async function openPictures(folder: string, context: Task['context']): Promise<OpenedPictures> {
  if (folder.endsWith('.npz')) return openArchive(folder);
  const { openData } = await import('../../training/data/open-data-node.ts');
  const { createProblems } = await import('../../training/data/problems.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const { flatten } = await import('../../image/image.ts');
  const { decodePicture } = await import('../../training/data/batches.ts');
  const problems = createProblems(({ message }) => context.err.write(`warning: ${message}\n`));
  const source = await openData(folder, { problems });
  const pictureOf = async (sample: Sample | undefined): Promise<Picture | undefined> => {
    if (!sample || !('image' in sample)) return undefined;
    const image = await decodePicture(sample, nodeImageCodec, problems);
    return image && { image: flatten(image), caption: sample.captions[0] ?? '' };
  };
  const close = { [Symbol.asyncDispose]: () => source.close() };
  if ('count' in source)
    return {
      ...close,
      files: source.count,
      read: async (index) => pictureOf(await source.read(index, context.signal)),
    };
  const samples = samplesInOrder(source, context.signal);
  let next = 0;
  return {
    ...close,
    files: Number.POSITIVE_INFINITY,
    async read(index) {
      for (;;) {
        const { done, value } = await samples.next();
        if (done) return beyondEnd;
        if (next++ === index) return pictureOf(value);
      }
    },
  };
}

/** The samples of all shards. */
async function* samplesInOrder(source: ShardedSource, signal: AbortSignal): AsyncGenerator<Sample, void, void> {
  for (let shard = 0; shard < source.shards.length; shard++)
    for await (const { sample } of source.open(shard, undefined, signal)) yield sample;
}

/** Most bytes of an archive, which is read whole. */
const largestArchive = 8 * 2 ** 30;

/** The pictures of an archive: `arr_0`, bytes [n, h, w, 3]. */
async function openArchive(path: string): Promise<OpenedPictures> {
  const { openFile } = await import('../../files/byte-source-node.ts');
  const { openNpz } = await import('../../formats/npz.ts');
  const { createImage } = await import('../../image/image.ts');
  const { StableDiffusionError } = await import('../../errors.ts');
  const source = await openFile(path);
  try {
    if (source.size > largestArchive)
      throw new StableDiffusionError(
        'too-large',
        `${path} has ${Math.round(source.size / 2 ** 30)} GiB; archives of up to ${largestArchive / 2 ** 30} GiB are read. Split it.`,
      );
    const pictures = await (await openNpz(source)).read('arr_0');
    const [files = 0, height = 0, width = 0, channels] = pictures.shape;
    if (pictures.dtype !== 'uint8' || pictures.shape.length !== 4 || channels !== 3)
      throw new StableDiffusionError(
        'shape-mismatch',
        `${path}: arr_0 is ${pictures.dtype} [${pictures.shape.join(', ')}], not uint8 [pictures, height, width, 3].`,
      );
    const size = height * width * 3;
    return {
      files,
      async [Symbol.asyncDispose]() {},
      async read(index) {
        const bytes = (pictures.data as Uint8Array).slice(index * size, (index + 1) * size);
        return { image: createImage(width, height, 3, bytes), caption: '' };
      },
    };
  } finally {
    await source.close();
  }
}

/** Pictures in memory at a time. */
const atOnce = 16;

interface MeasuredFolder {
  readonly features: PictureFeatures;
  readonly captions: readonly string[];
}

/** The features and captions of the pictures in a folder, in their order; the ranks divide its files among them. */
export async function featuresOf(
  folder: string,
  count: number | undefined,
  network: FeaturesNetwork,
  task: Task,
): Promise<MeasuredFolder> {
  const { joinFeatures } = await import('../../evaluation/features.ts');
  const { gatherFeatures } = await import('../../evaluation/gather-rows.ts');
  const parts: PictureFeatures[] = [];
  const captions: [place: number, caption: string][] = [];
  for await (const some of picturesOf(folder, count, task)) {
    const images = some.map(({ picture }) => picture.image);
    parts.push(await network.pictures(images, task.context.signal));
    captions.push(...some.map(({ picture, place }): [number, string] => [place, picture.caption]));
  }
  const places = captions.map(([place]) => place);
  const all = (await gatherJson(task.communicator, captions)).flat().sort(([a], [b]) => a - b);
  return {
    features: await gatherFeatures(task.communicator, places, parts.length > 0 ? joinFeatures(parts) : undefined),
    captions: all.map(([, caption]) => caption),
  };
}

/** Writes pictures as one, in rows of `columns`. */
export async function writeGrid(
  path: string,
  images: readonly Image[],
  columns: number,
  replace: boolean,
): Promise<void> {
  const { imageGrid } = await import('../../image/image-grid.ts');
  const { nodeImageCodec } = await import('../../image/codec/codec-node.ts');
  const { writeNewFile } = await import('../../files/write-file-node.ts');
  await writeNewFile(path, [await nodeImageCodec.encode(imageGrid(images, { columns }), { format: 'png' })], {
    replace,
  });
}

/** A measure in four digits. */
export const shown = (value: number): string =>
  Math.abs(value) >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(4)));

/** Prints measures, a line each or as JSON. */
export function print({ context, values, progress }: Task, measures: Readonly<Record<string, number>>): void {
  progress.clear();
  if (values.json) context.out.write(`${JSON.stringify(measures)}\n`);
  else for (const [name, value] of Object.entries(measures)) context.out.write(`${name.padEnd(24)}${shown(value)}\n`);
}
