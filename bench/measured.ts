/** What the full-size benchmarks share: the checkpoints, one side's process, medians. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** What the process of a side prints. */
export interface Measured {
  readonly load: number;
  readonly runs: readonly number[];
  readonly cpu: readonly number[];
  readonly peak_bytes: number;
  readonly output: { readonly mean: number; readonly rms: number; readonly error?: number };
}

/** Runs a side and reads its last line; undefined if it failed, as a peer that is not installed does. */
export function measure([command = '', ...args]: readonly string[]): Measured | undefined {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', cwd: root });
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Measured;
  console.error(stderr.trim().split('\n').at(-1));
  return undefined;
}

export const median = (list: readonly number[]): number => {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2;
};

/** Without the first run, which lays out memory. */
export const warm = (list: readonly number[]): readonly number[] => (list.length > 1 ? list.slice(1) : list);

/** The checkpoint of a listed model with made-up weights in `folder`, made if it is missing. */
export function madeUpCheckpoint(folder: string, dtype: 'f32' | 'f16', model: 'v1' | 'sdxl-base' = 'v1'): string {
  const file = join(folder, `${model === 'v1' ? 'full' : model}-${dtype}.safetensors`);
  if (existsSync(file)) return file;
  mkdirSync(folder, { recursive: true });
  const settings = ['--dtype', dtype, '--model', model, '--out', file];
  const made = spawnSync(
    process.execPath,
    ['--import', './tools/typescript.mjs', 'bench/full-size-weights.ts', ...settings],
    { cwd: root, stdio: 'inherit' },
  );
  if (made.status !== 0) throw new Error(`${file} could not be made.`);
  return file;
}
