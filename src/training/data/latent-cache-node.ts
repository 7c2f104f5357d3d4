/**
 * Latents kept on disk, so that the autoencoder sees every picture once: `latents-00000.safetensors` and so on, tensors `<i>.<variant>`,
 * with captions and metadata of the samples in each file's own metadata. Files are written atomically and are self-contained.
 *
 * A sample is found by its name and a digest of its picture, captions and metadata, so latents of other data, or of a picture that has
 * changed, are never used.
 */

import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { StableDiffusionError } from '../../errors.ts';
import { convert } from '../../tensor/convert.ts';
import { bytesOf, type Tensor } from '../../tensor/tensor.ts';
import { fileError, openFile } from '../../files/byte-source-node.ts';
import { openSafetensors } from '../../formats/safetensors.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { makeFolder } from '../../files/make-folder-node.ts';
import { removeHalfWritten, writeNewFile } from '../../files/write-file-node.ts';
import type { EncodedSample, IndexedSource, LatentSample } from './sample.ts';

export interface LatentCacheOptions {
  /** Identifies what the latents depend on: autoencoder, size, crop, variants. A cache with a different one is refused. */
  readonly fingerprint: string;
}

export interface LatentCacheWriterOptions extends LatentCacheOptions {
  /** Element type on disk. Default `float32`, so that training is the same to the bit with and without a cache. */
  readonly dtype?: 'float32' | 'float16';
  /** Samples in a file; at most so many are lost where the work is cut off. Default 256. */
  readonly shardSize?: number;
  /** The ranks that fill the cache together: each writes files of its own numbers. All open it before one of them adds. */
  readonly share?: { readonly rank: number; readonly size: number };
}

/** Latents and the digest of what they were made from. */
export interface CachedSample extends LatentSample {
  readonly digest: string;
}

/** Names a sample in the cache. */
export const cacheKey = (name: string, digest: string): string => `${digest} ${name}`;

/** SHA-256 of a sample's picture, map, captions and metadata. */
export async function sampleDigest({ image, map, captions, metadata }: EncodedSample): Promise<string> {
  const texts = JSON.stringify([captions, metadata], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
  const hash = createHash('sha256').update(image);
  if (map) hash.update('map').update(map);
  return hash.update(texts).digest('hex').slice(0, 32);
}

/** Latents are compared with it when they are read: with a flipped bit they are not those of the picture. */
function latentsDigest(latents: readonly Tensor[]): string {
  const hash = createHash('sha256');
  for (const value of latents) hash.update(bytesOf(value));
  return hash.digest('hex');
}

/** Latents are others in another element type. */
const withType = (fingerprint: string, dtype: string): string => `${fingerprint} in ${dtype}`;

export interface LatentCacheWriter {
  /** True if the sample of a `cacheKey` is in the cache, from this or an earlier run. */
  has(key: string): boolean;
  /** Throws `not-finite` for latents that hold NaN or infinity, and `file-access` where a file cannot be written. */
  add(sample: CachedSample): Promise<void>;
  /** Writes what is left. To be called at the end. */
  finish(): Promise<void>;
}

const storedSchema = z.array(
  z.object({
    name: z.string(),
    digest: z.string(),
    captions: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    variants: z.int().nonnegative(),
    /** SHA-256 of the latents as they are kept. */
    sha256: z.string(),
  }),
);
type StoredSample = z.output<typeof storedSchema>[number];

/** Another run fills the same cache: its files stay, and the next number is tried. */
function unlessTaken(error: unknown): false {
  if (error instanceof StableDiffusionError && error.code === 'file-exists') return false;
  throw error;
}

const fileName = (number: number): string => `latents-${String(number).padStart(5, '0')}.safetensors`;

/** Opens a folder for writing, creating it if needed; existing latents are kept. Throws `config-invalid` for a different fingerprint. */
export async function writeLatentCache(folder: string, options: LatentCacheWriterOptions): Promise<LatentCacheWriter> {
  const { dtype = 'float32', shardSize = 256, share = { rank: 0, size: 1 } } = options;
  const fingerprint = withType(options.fingerprint, dtype);
  await makeFolder(folder);
  await removeHalfWritten(folder);
  const keys = new Set<string>();
  const numbers = await shardNumbers(folder);
  for (const number of numbers) {
    const { source, samples } = await openShard(join(folder, fileName(number)), fingerprint);
    await source.close();
    for (const { name, digest } of samples) keys.add(cacheKey(name, digest));
  }
  let next = (numbers.at(-1) ?? -1) + 1 + share.rank;
  let waiting: CachedSample[] = [];
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return;
    const tensors = new Map<string, Tensor>(
      waiting.flatMap((sample, i) => sample.latents.map((value, variant) => [`${i}.${variant}`, value] as const)),
    );
    const samples = waiting.map(({ name, digest, captions, metadata, latents }) => ({
      name,
      digest,
      captions,
      metadata,
      variants: latents.length,
      sha256: latentsDigest(latents),
    }));
    const entries = [...tensors].map(([name, value]) => ({ name, dtype: value.dtype, shape: value.shape }));
    const metadata = {
      fingerprint,
      samples: JSON.stringify(samples, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    };
    const provide = ({ name }: { readonly name: string }): Tensor => tensors.get(name) as Tensor;
    for (let isWritten = false; !isWritten; next += share.size)
      isWritten = await writeNewFile(
        join(folder, fileName(next)),
        writeSafetensors(entries, provide, { metadata }),
      ).then(() => true, unlessTaken);
    waiting = [];
  };
  return {
    has: (key) => keys.has(key),
    async add(sample) {
      const key = cacheKey(sample.name, sample.digest);
      if (keys.has(key)) return;
      const latents = sample.latents.map((value) => {
        const stored = convert(value, dtype);
        if (!convert(stored, 'float32').data.every(Number.isFinite)) {
          throw new StableDiffusionError(
            'not-finite',
            `The latents of ${sample.name} are not finite${dtype === 'float16' ? ' in float16' : ''}. Check the picture and the autoencoder${dtype === 'float16' ? ', or keep them in float32' : ''}.`,
          );
        }
        return stored;
      });
      keys.add(key);
      waiting.push({ ...sample, latents });
      if (waiting.length >= shardSize) await flush();
    },
    finish: flush,
  };
}

/** Opens a cache for reading, headers only: the samples of `wanted` (by `cacheKey`) in its order, whatever file each is in, or all. Throws `file-not-found` if there is none, `config-invalid` for a different fingerprint, or the errors of `openSafetensors`. */
export async function latentCache(
  folder: string,
  options: Omit<LatentCacheWriterOptions, 'shardSize' | 'share'> & { readonly wanted?: readonly string[] },
): Promise<IndexedSource> {
  const fingerprint = withType(options.fingerprint, options.dtype ?? 'float32');
  const numbers = await shardNumbers(folder);
  if (numbers.length === 0)
    throw new StableDiffusionError(
      'file-not-found',
      `${folder} holds no latents (latents-00000.safetensors). Make them first.`,
    );
  const sources: WeightSource[] = [];
  const places = new Map<string, CachedPlace>();
  try {
    for (const number of numbers) {
      const shard = await openShard(join(folder, fileName(number)), fingerprint);
      sources.push(shard.source);
      for (const [index, stored] of shard.samples.entries())
        places.set(cacheKey(stored.name, stored.digest), { source: shard.source, index, stored });
    }
  } catch (cause) {
    for (const source of sources) await source.close();
    throw cause;
  }
  // Samples come in the order of their data, in which they come without a cache too.
  const samples = (options.wanted ?? [...places.keys()]).flatMap((key) => places.get(key) ?? []);
  return {
    label: folder,
    count: samples.length,
    async read(number, signal) {
      const found = samples[number];
      if (!found)
        throw new StableDiffusionError(
          'invalid-argument',
          `${folder} has ${samples.length} samples; ${number} is out of range.`,
        );
      const { source, index, stored } = found;
      const latents: Tensor[] = [];
      for (let variant = 0; variant < stored.variants; variant++)
        latents.push(await source.read(`${index}.${variant}`, signal));
      if (latentsDigest(latents) !== stored.sha256)
        throw new StableDiffusionError(
          'file-corrupt',
          `${source.label} is damaged: its latents of ${stored.name} are not those that were written. Delete it, and they are made again.`,
        );
      return { name: stored.name, captions: stored.captions, metadata: stored.metadata, latents };
    },
    async close() {
      for (const source of sources) await source.close();
    },
  };
}

interface CachedPlace {
  readonly source: WeightSource;
  readonly index: number;
  readonly stored: StoredSample;
}

async function shardNumbers(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw fileError(folder, cause);
  });
  return names
    .flatMap((name) => /^latents-(\d+)\.safetensors$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function openShard(
  path: string,
  fingerprint: string,
): Promise<{ readonly source: WeightSource; readonly samples: readonly StoredSample[] }> {
  const source = await openSafetensors(await openFile(path));
  const found = source.metadata?.get('fingerprint');
  const samples = storedSamples(source.metadata?.get('samples'));
  if (samples && found === fingerprint) return { source, samples };
  await source.close();
  if (!samples)
    throw new StableDiffusionError(
      'file-corrupt',
      `${path} is not a file of cached latents: it does not name its picture. Move it away.`,
    );
  throw new StableDiffusionError(
    'config-invalid',
    `The latents in ${path} were made with other settings: expected ${JSON.stringify(fingerprint)}, found ${JSON.stringify(found)}. Use another folder, or delete them.`,
  );
}

/** The samples that a file's notes list; undefined where they are not such notes. */
function storedSamples(notes: unknown): readonly StoredSample[] | undefined {
  try {
    return storedSchema.parse(JSON.parse(String(notes)));
  } catch {
    return undefined;
  }
}
