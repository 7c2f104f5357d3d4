/** Models and pictures that the tests of commands share. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { reference } from '../reference.ts';

export const tiny = reference('diffusion/pipelines/tiny.ckpt');
export const pocket = join(import.meta.dirname, '../../models/pocket.safetensors');

export const fast = ['--ckpt', tiny, '--threads', '1', '--H', '64', '--W', '64', '--no-watermark', '--no-safety'];

export async function pixels(path: string): Promise<Uint8Array> {
  return (await nodeImageCodec.decode(new Uint8Array(readFileSync(path)))).data;
}

/** Share of the values that differ by more than one level. */
export async function sharePastOneLevel(got: string, want: string): Promise<number> {
  const [a, b] = [await pixels(got), await pixels(want)];
  assert.equal(a.length, b.length);
  return a.reduce((count, value, i) => count + (Math.abs(value - (b[i] as number)) > 1 ? 1 : 0), 0) / a.length;
}
