/** A run's folder for its tests: options, a clock that stands still, checkpoints to save. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { RunOptions } from '../../src/training/run/run-folder-node.ts';

export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'run-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const clock = () => 1_700_000_000_250;
export const options: RunOptions = {
  title: 'pocket <1>',
  config: 'model: pocket\n',
  resume: false,
  clock,
  codec: nodeImageCodec,
};
export const content = (step: number, score?: number) => {
  const tensors: Readonly<Record<string, Tensor>> = { weight: float32([3], [step, step + 1, step + 2]) };
  return {
    step,
    state: { step, list: [1, 'é'] },
    entries: Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    provide: ({ name }: { readonly name: string }) => tensors[name] as Tensor,
    score,
  };
};
