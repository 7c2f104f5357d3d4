/** Names, shapes and element types of the published files: v1 of the reference set, and the families after it (`fixtures/families/keys`). */

import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { reference } from '../test/reference.ts';

/** Of a tensor in a file. */
export interface ListedTensor {
  readonly shape: readonly number[];
  /** As in safetensors: F32, I64. */
  readonly dtype: string;
}

type KeyRow = readonly [name: string, shape: readonly number[], dtype: string, ...more: unknown[]];

interface KeyList {
  /** The list that this one is a difference to, with a remark behind the name. */
  readonly as?: string;
  readonly removed?: readonly string[];
  readonly set?: readonly KeyRow[];
  readonly keys?: readonly KeyRow[];
}

/** A list, which may be a difference to another. */
export function keysOf(path: string): Map<string, ListedTensor> {
  const list: KeyList = JSON.parse(readFileSync(path, 'utf8'));
  const [other] = list.as?.split(',') ?? [];
  const all = other === undefined ? new Map<string, ListedTensor>() : keysOf(join(dirname(path), basename(other)));
  for (const removed of list.removed ?? []) all.delete(removed);
  for (const [key, shape, dtype] of list.set ?? list.keys ?? []) all.set(key, { shape, dtype });
  return all;
}

/** Files of the lists by the name of their model. */
export const listedModels: Readonly<Record<string, string>> = {
  v1: 'files/full-size/keys.json',
  v2: 'families/keys/full-sd21.keys.json',
  'v2-inpainting': 'families/keys/full-sd2-inpainting.keys.json',
  'v2-depth': 'families/keys/full-sd2-depth.keys.json',
  'v2-unclip': 'families/keys/full-sd21-unclip-h.keys.json',
  'x4-upscaler': 'families/keys/full-x4-upscaler.keys.json',
  'sdxl-base': 'families/keys/full-sdxl-base.keys.json',
  'sdxl-refiner': 'families/keys/full-sdxl-refiner.keys.json',
};

/** The tensors of a model's file. Throws for a name that is not listed. */
export function listedTensors(model: string): Map<string, ListedTensor> {
  const path = listedModels[model];
  if (path === undefined)
    throw new Error(`There is no list of ${model}; known are ${Object.keys(listedModels).join(', ')}.`);
  return keysOf(reference(path));
}
