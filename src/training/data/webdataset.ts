/**
 * WebDataset: shards that are tar archives in which the files of a sample follow one another and share a key, as img2dataset writes LAION:
 * `000120003.jpg`, `000120003.txt` (the caption), `000120003.json` (sizes and scores). Keys as the webdataset package forms them: the path
 * up to the first dot of its last part.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { ByteSource } from '../../files/byte-source.ts';
import { decodeText } from '../../files/text-encoding.ts';
import { streamBytes } from './byte-stream.ts';
import { splitCaptions } from './caption-fields.ts';
import { pictureEndings } from './picture-names.ts';
import type { Problems } from './problems.ts';
import type { PlacedSample, Sample, SampleMetadata, ShardedSource } from './sample.ts';
import { captionBytes, parseObject } from './sample-text.ts';
import { readTar } from './tar.ts';

/** The files of one sample, by all that follows the key, in lower case: `jpg`, `txt`, `json`, `seg.png`. */
export interface TarSample {
  readonly key: string;
  /** Fields that were not requested have no bytes. */
  readonly fields: ReadonlyMap<string, Uint8Array>;
  /** Its offset in the archive. */
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
  wanted: (field: string) => boolean = () => true,
): AsyncGenerator<TarSample, void, void> {
  const { label } = source;
  let current: { key: string; fields: Map<string, Uint8Array>; position: number; bytes: number } | undefined;
  try {
    const files = readTar(streamBytes(source, position, signal), {
      label,
      offset: position,
      wanted: (name) => {
        const field = partsOf(name)?.field;
        return field !== undefined && wanted(field);
      },
      onSkip: (name, reason) =>
        problems.report('unsafe-name', `${label}:${name}`, `${name} in ${label} is ignored: ${reason}.`),
    });
    for await (const { name, data, offset } of files) {
      const parts = partsOf(name);
      if (!parts) continue;
      const { key, field } = parts;
      if (current && current.key !== key) {
        yield current;
        current = undefined;
      }
      current ??= { key, fields: new Map(), position: offset, bytes: 0 };
      current.bytes += data.length;
      if (current.fields.has(field))
        problems.report('corrupt-metadata', `${label}:${key}`, `${label} has ${name} twice; the first is used.`);
      else if (current.bytes > largestSample)
        problems.report('unsafe-name', `${label}:${name}`, `${name} in ${label} is ignored: its sample is too large.`);
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

/** The most bytes of a sample that are kept. */
const largestSample = 2 ** 28;

const lastPart = (field: string): string => field.slice(field.lastIndexOf('.') + 1);

/** Key and field of a file's name; undefined for webdataset's notes about the shard and for names without a dot. */
function partsOf(name: string): { readonly key: string; readonly field: string } | undefined {
  const parts = /^((?:.*\/)?[^/.]+)\.([^/]*)$/s.exec(name);
  if (!parts || /^__[^/]*__(?:$|\/)/.test(name)) return undefined;
  return { key: parts[1] as string, field: (parts[2] as string).toLowerCase() };
}

/**
 * Fields by their whole names, as the webdataset package has them; the first match wins. `seg.png` differs from `png`:
 * it is used only where it is the one picture of its sample, as files with dots in their names have it.
 */
export interface SampleFields {
  readonly picture: readonly string[];
  readonly caption: readonly string[];
  readonly map?: readonly string[];
}

const usualFields: SampleFields = {
  picture: pictureEndings,
  caption: ['txt', 'caption'],
  map: ['map.png', 'seg.png', 'conditioning_image.png', 'conditioning_image.jpg'],
};

type FieldNames = Pick<WebDatasetOptions, 'imageField' | 'captionField' | 'mapField'>;

const fieldsWanted = ({ imageField, captionField, mapField }: FieldNames): Required<SampleFields> => ({
  picture: imageField === undefined ? usualFields.picture : [imageField.toLowerCase()],
  caption: captionField === undefined ? usualFields.caption : [captionField.toLowerCase(), ...usualFields.caption],
  map:
    mapField === undefined
      ? (usualFields.map ?? [])
      : ['', '.png', '.jpg'].map((ending) => mapField.toLowerCase() + ending),
});

/** A sample of the picture and caption of its fields: `txt`, else `caption`, else the caption in `json`, as of a table's row. Undefined, and reported, where it has no picture. */
export function sampleOfFields(
  shard: string,
  { key, fields }: Pick<TarSample, 'key' | 'fields'>,
  problems: Problems,
  names: SampleFields = usualFields,
): Sample | undefined {
  const name = `${shard}:${key}`;
  const first = (wanted: readonly string[]): Uint8Array | undefined => {
    const exact = wanted.map((field) => fields.get(field)).find((bytes) => bytes !== undefined);
    const others = exact ? [] : [...fields].filter(([field]) => wanted.includes(lastPart(field)));
    return exact ?? (others.length === 1 ? others[0]?.[1] : undefined);
  };
  const image = first(names.picture);
  if (!image) {
    problems.report(
      'missing-image',
      name,
      `The sample ${name} has no picture (${names.picture.join(', ')}), only ${[...fields.keys()].join(', ')}. image_key names another field.`,
    );
    return undefined;
  }
  const metadata = metadataOf(name, fields.get('json'), problems);
  const map = (names.map ?? []).map((field) => fields.get(field)).find((bytes) => bytes !== undefined);
  const own = map === undefined ? {} : { map };
  const caption = first(names.caption);
  if (!caption) {
    const text = names.caption.map((field) => metadata[field]).find((value) => typeof value === 'string');
    const captions = typeof text === 'string' ? [text] : splitCaptions(metadata).captions;
    return { name, image, captions, metadata, ...own };
  }
  const text = decodeText(caption.subarray(0, captionBytes), caption.length > captionBytes);
  if (text === undefined)
    problems.report('corrupt-caption', name, `The caption of ${name} is not used: it is not UTF-8.`);
  return { name, image, captions: text === undefined ? [] : [text], metadata, ...own };
}

function metadataOf(name: string, json: Uint8Array | undefined, problems: Problems): SampleMetadata {
  if (!json) return {};
  const text = decodeText(json);
  const value = text === undefined ? 'is not UTF-8' : parseObject(text);
  if (typeof value !== 'string') return value;
  problems.report('corrupt-metadata', name, `The metadata of ${name} ${value}; the sample is used without it.`);
  return {};
}

export interface WebDatasetOptions {
  readonly label?: string;
  /** File names, in order. */
  readonly shards: readonly string[];
  /** Opens a shard; it is closed again after reading. */
  readonly open: (shard: string) => Promise<ByteSource>;
  readonly problems: Problems;
  /** Field with the picture, such as `seg.png`. Default: the first of `jpg`, `jpeg`, `png`, `webp`, `gif`. */
  readonly imageField?: string | undefined;
  /** Field with the caption, or its name in `json`. Default: `txt`, else `caption`. */
  readonly captionField?: string | undefined;
  /** Field with the map, with or without its ending. Default: `map.png`, `seg.png`, `conditioning_image.png` or `.jpg`. */
  readonly mapField?: string | undefined;
}

/** Samples from shards. One that cannot be opened or is damaged is reported, by name, each time its turn comes. */
export function webDataset(options: WebDatasetOptions): ShardedSource {
  const { shards, problems, label = `${shards.length} shards` } = options;
  const names = fieldsWanted(options);
  const wanted = new Set([...names.picture, ...names.caption, ...names.map, 'json']);
  return {
    label,
    shards,
    async *open(shard, position, signal): AsyncGenerator<PlacedSample, void, void> {
      const name = shards[shard];
      if (name === undefined) throw new StableDiffusionError('invalid-argument', `${label} has no shard ${shard}.`);
      let source: ByteSource;
      try {
        source = await options.open(name);
      } catch (cause) {
        // What the network lacks is not the shard's fault, and the ranks must have the same.
        if (!(cause instanceof StableDiffusionError) || ['network', 'forbidden', 'aborted'].includes(cause.code))
          throw cause;
        problems.report('corrupt-shard', name, cause.message);
        return;
      }
      try {
        for await (const fields of tarSamples(
          source,
          problems,
          position,
          signal,
          (field) => wanted.has(field) || wanted.has(lastPart(field)),
        )) {
          const sample = sampleOfFields(baseName(name), fields, problems, names);
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
