/** Reads and writes files of tensors: the inputs and outputs of a network. */

import type { Tensor } from '../tensor/tensor.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { writeFileAtomic } from '../files/write-file-node.ts';

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

/** Writes a .safetensors file atomically. */
export async function writeTensorFile(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  signal: AbortSignal,
): Promise<void> {
  const entries = Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const chunks = writeSafetensors(entries, ({ name }) => tensors.get(name) as Tensor, {
    metadata: { format: 'pt' },
    signal,
  });
  await writeFileAtomic(path, chunks, { signal });
}
