/** Reads and writes files of tensors: the inputs and outputs of a network. */

import type { Tensor } from '../tensor/tensor.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { checkFree, type WriteFileOptions, writeNewFile } from '../files/write-file-node.ts';

/** All tensors of a .safetensors or torch.save file, by name. */
export async function readTensorFile(path: string, signal: AbortSignal): Promise<Map<string, Tensor>> {
  const source = await openWeightsAt(path);
  try {
    const tensors = new Map<string, Tensor>();
    for (const name of source.entries.keys()) tensors.set(name, await source.read(name, signal));
    return tensors;
  } finally {
    await source.close();
  }
}

/** Marks files of tensors that this program made, which it may replace: they hold results, not models. */
const mark = { format: 'pt', made_by: 'stable-diffusion-ts' };

/** Checks that `path` may be replaced: always with `force`, else only an earlier result. Throws `file-exists`. */
export async function checkTensorFile(path: string, force: boolean): Promise<boolean> {
  const replace = force || (await isEarlierResult(path));
  await checkFree(path, replace);
  return replace;
}

async function isEarlierResult(path: string): Promise<boolean> {
  try {
    const source = await openWeightsAt(path);
    await source.close();
    return source.metadata?.get('made_by') === mark.made_by;
  } catch {
    return false;
  }
}

/** Writes a .safetensors file atomically. Replaces an earlier result; any other file needs `replace`. */
export async function writeTensorFile(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  { signal, replace }: Pick<WriteFileOptions, 'signal' | 'replace'>,
): Promise<void> {
  const mayReplace = await checkTensorFile(path, replace === true);
  const entries = Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const chunks = writeSafetensors(entries, ({ name }) => tensors.get(name) as Tensor, {
    metadata: mark,
    ...(signal ? { signal } : {}),
  });
  await writeNewFile(path, chunks, { signal, replace: mayReplace });
}
