/** The format of a file or folder of weights, by its first bytes, its name and what it holds. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { splitFilesIn } from '../checkpoints/split-files-node.ts';
import { fileError } from '../files/byte-source-node.ts';
import { openRegular } from '../files/open-node.ts';

export type WeightsFormat =
  | 'safetensors'
  | 'gguf'
  | 'torch zip'
  | 'torch legacy'
  | 'sharded'
  | 'diffusers folder'
  | 'split files'
  | 'folder';

/** Throws `file-not-found` and `file-access`. */
export async function formatOf(path: string): Promise<WeightsFormat> {
  const status = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (status.isDirectory())
    return (await stat(join(path, 'model_index.json')).then(
      () => true,
      () => false,
    ))
      ? 'diffusers folder'
      : (await splitFilesIn(path))
        ? 'split files'
        : 'folder';
  if (/\.index(?:\.[^./\\]+)?\.json$/.test(path)) return 'sharded';
  const { handle } = await openRegular(path);
  try {
    const head = Buffer.alloc(9);
    await handle.read(head, 0, 9, 0);
    if (head.toString('latin1', 0, 2) === 'PK') return 'torch zip';
    if (head.toString('latin1', 0, 4) === 'GGUF') return 'gguf';
    return /\.safetensors$/i.test(path) || head[8] === 0x7b ? 'safetensors' : 'torch legacy';
  } finally {
    await handle.close();
  }
}
