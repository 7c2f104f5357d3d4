/** Files of weights: valid, unusual, malicious and corrupt `.ckpt` and `.safetensors` files and sharded folders, each with its verdict and tensors. */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { StableDiffusionError } from '../../../src/errors.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { safetensorsTypes } from '../../../src/formats/safetensors.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import type { DType } from '../../../src/tensor/dtype.ts';
import { bytesOf } from '../../../src/tensor/tensor.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

interface ExpectedTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Of the contiguous little-endian data. */
  readonly sha256: string;
  readonly values_of_codes_0_to_255?: readonly (number | 'nan' | 'inf' | '-inf')[];
}

export interface ExpectedFile {
  readonly expected: 'accept' | 'reject' | 'accept or clear error' | 'reject or report';
  readonly tensors?: Readonly<Record<string, ExpectedTensor>> | null;
  readonly metadata?: Readonly<Record<string, string>>;
}

interface ExpectedSet {
  readonly files: readonly (ExpectedFile & { readonly file: string })[];
  readonly sharded?: readonly (ExpectedFile & { readonly folder: string })[];
  /** Tensors by file, where they do not stand beside it. */
  readonly tensors?: Readonly<Record<string, ExpectedFile['tensors']>>;
}

export const reader: Reader = {
  set: 'files',
  reads: ({ exercises }) => /\.ckpt reading|sharded index/.test(String(exercises)),
  compare: collecting(async ({ setFolder, row }, compare) => {
    const path = join(setFolder, String(row['file']));
    const { files, sharded = [], tensors = {} }: ExpectedSet = JSON.parse(readFileSync(path, 'utf8'));
    for (const file of files)
      await compareFile(join(dirname(path), file.file), file.file, { tensors: tensors[file.file], ...file }, compare);
    for (const folder of sharded) await compareFile(join(dirname(path), folder.folder), folder.folder, folder, compare);
    compare.exact('no payload ran', existsSync(join(tmpdir(), 'sd-ts-unsafe-marker')), false);
    compare.exact('Object.prototype is untouched', 'polluted' in {}, false);
  }),
};

/** Opens the file and reads every tensor. Data that a tolerant reader may give must equal the record; a file that is refused has none. */
async function compareFile(path: string, item: string, file: ExpectedFile, compare: Comparisons): Promise<void> {
  let refusal: unknown;
  try {
    await compareContent(path, item, file, compare);
  } catch (cause) {
    refusal = cause;
  }
  const verdict = refusal === undefined ? 'accept' : 'reject';
  const fits = file.expected.startsWith(verdict) || file.expected === 'accept or clear error';
  const note = refusal instanceof Error ? refusal.message.replaceAll(path, item) : undefined;
  compare.error('verdict', fits ? 0 : 1, 0, { item, note });
  if (refusal === undefined) return;
  const named =
    refusal instanceof StableDiffusionError && /^file-/.test(refusal.code) && refusal.message.includes(path);
  compare.error('an error of the library that names the file', named ? 0 : 1, 0, { item, note });
}

async function compareContent(path: string, item: string, file: ExpectedFile, compare: Comparisons): Promise<void> {
  const source = await openWeightsAt(path);
  try {
    for (const [key, want] of Object.entries(file.tensors ?? {})) {
      const value = await source.read(key);
      const same =
        value.dtype === (safetensorsTypes.get(want.dtype) as DType) &&
        value.shape.join() === want.shape.join() &&
        createHash('sha256').update(bytesOf(value)).digest('hex') === want.sha256;
      compare.error(key || '(empty name)', same ? 0 : 1, 0, { item });
      if (want.values_of_codes_0_to_255) {
        const got = toFloat32(value).data;
        const wrong = want.values_of_codes_0_to_255.filter((code, i) => !Object.is(got[i], numberOf(code)));
        compare.error(`values of the codes of ${key}`, wrong.length, 0, { item });
      }
    }
    if (file.tensors) {
      const names = [...source.entries.keys()].sort();
      compare.exact('names', names, Object.keys(file.tensors).sort(), { item });
    } else for (const key of source.entries.keys()) await source.read(key);
    if (file.metadata) compare.exact('metadata', Object.fromEntries(source.metadata ?? []), file.metadata, { item });
  } finally {
    await source.close();
  }
}

function numberOf(value: number | 'nan' | 'inf' | '-inf'): number {
  if (value === 'nan') return Number.NaN;
  if (value === 'inf') return Number.POSITIVE_INFINITY;
  return value === '-inf' ? Number.NEGATIVE_INFINITY : value;
}
