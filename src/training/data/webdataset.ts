/**
 * WebDataset: shards that are tar archives in which the files of a sample follow one another and share a key, as img2dataset writes LAION:
 * `000120003.jpg`, `000120003.txt` (the caption), `000120003.json` (sizes and scores). Keys as the webdataset package forms them: the path
 * up to the first dot of its last part.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { streamBytes } from './byte-stream.ts';
import type { Problems } from './problems.ts';
import type { PlacedSample, Sample, SampleMetadata, ShardedSource } from './sample.ts';
import { readTar } from './tar.ts';

/** The files of one sample, by what follows the key, in lower case: `jpg`, `txt`, `json`. */
export interface TarSample {
  readonly key: string;
  readonly fields: ReadonlyMap<string, Uint8Array>;
  /** Where it begins in the archive. */
  readonly position: number;
}

/**
 * The samples of a shard from a position of one of them on. A damaged or truncated shard is reported and ends; of a truncated one the
 * sample in which the cut lies is dropped, since what it lost cannot be known.
 */
export async function* tarSamples(
  source: ByteSource,
  problems: Problems,
  position = 0,
  signal?: AbortSignal,
): AsyncGenerator<TarSample, void, void> {
  const { label } = source;
  let current: { key: string; fields: Map<string, Uint8Array>; position: number } | undefined;
  try {
    const files = readTar(streamBytes(source, position, signal), {
      label,
      offset: position,
      onSkip: (name, reason) =>
        problems.report('unsafe-name', `${label}:${name}`, `${name} in ${label} is passed over: ${reason}.`),
    });
    for await (const { name, data, offset } of files) {
      if (/^__[^/]*__(?:$|\/)/.test(name)) continue; // webdataset's notes about the shard
      const parts = /^((?:.*\/)?[^/.]+)\.([^/]*)$/s.exec(name);
      if (!parts) continue;
      const key = parts[1] as string;
      const field = (parts[2] as string).toLowerCase();
      if (current && current.key !== key) {
        yield current;
        current = undefined;
      }
      current ??= { key, fields: new Map(), position: offset };
      if (current.fields.has(field))
        problems.report('corrupt-metadata', `${label}:${key}`, `${label} has ${name} twice; the first is used.`);
      else current.fields.set(field, data);
    }
  } catch (cause) {
    if (!(cause instanceof StableDiffusionError) || cause.code === 'aborted') throw cause;
    problems.report(
      cause.code === 'file-truncated' ? 'truncated-shard' : 'corrupt-shard',
      label,
      `${cause.message}${current ? ` The sample ${current.key} is dropped.` : ''}`,
    );
    return;
  }
  if (current) yield current;
}

const pictureFields = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'jpg.jpeg'];

/** A sample of the picture and caption of its fields: `txt`, else `caption`, else the caption in `json`. Undefined, and reported, where it has no picture. */
export function sampleOfFields(
  shard: string,
  { key, fields }: Pick<TarSample, 'key' | 'fields'>,
  problems: Problems,
): Sample | undefined {
  const name = `${shard}:${key}`;
  const last = (field: string): string => field.slice(field.lastIndexOf('.') + 1);
  const image = [...fields].find(([field]) => pictureFields.includes(last(field)))?.[1];
  if (!image) {
    problems.report('missing-image', name, `The sample ${name} has no picture, only ${[...fields.keys()].join(', ')}.`);
    return undefined;
  }
  const metadata = metadataOf(name, fields.get('json'), problems);
  const caption = [...fields].find(([field]) => last(field) === 'txt' || last(field) === 'caption')?.[1];
  const text = caption ? new TextDecoder().decode(caption) : metadata['caption'];
  return { name, image, captions: typeof text === 'string' ? [text] : [], metadata };
}

function metadataOf(name: string, json: Uint8Array | undefined, problems: Problems): SampleMetadata {
  if (!json) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(json));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as SampleMetadata;
  } catch {
    // reported below
  }
  problems.report(
    'corrupt-metadata',
    name,
    `The metadata of ${name} is no JSON object; the sample is used without it.`,
  );
  return {};
}

export interface WebDatasetOptions {
  readonly label?: string;
  /** File names, in order. */
  readonly shards: readonly string[];
  /** Opens a shard; it is closed again after reading. */
  readonly open: (shard: string) => Promise<ByteSource>;
  readonly problems: Problems;
}

/** Samples from shards. One that cannot be opened or is damaged is reported, by name, each time its turn comes. */
export function webDataset(options: WebDatasetOptions): ShardedSource {
  const { shards, problems, label = `${shards.length} shards` } = options;
  return {
    label,
    shards,
    async *open(shard, position, signal): AsyncGenerator<PlacedSample, void, void> {
      const name = shards[shard];
      if (name === undefined)
        throw new StableDiffusionError('invalid-argument', `There is no shard ${shard} in ${label}.`);
      let source: ByteSource;
      try {
        source = await options.open(name);
      } catch (cause) {
        if (!(cause instanceof StableDiffusionError)) throw cause;
        problems.report('corrupt-shard', name, cause.message);
        return;
      }
      try {
        for await (const fields of tarSamples(source, problems, position, signal)) {
          const sample = sampleOfFields(baseName(name), fields, problems);
          if (sample) yield { sample, position: fields.position };
        }
      } finally {
        await source.close();
      }
    },
    async close() {},
  };
}

const baseName = (path: string): string => path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
