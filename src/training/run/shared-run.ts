/**
 * The run of several ranks: rank 0 has the folder and writes; the others write nothing, and get from it the checkpoint to resume from, so
 * that only one machine needs the folder.
 */

import { type Communicator, broadcastJson } from '../../distributed/communicator.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { bytesOf, elementCount, fromBytes, type Tensor } from '../../tensor/tensor.ts';
import { byteSize } from '../../tensor/dtype.ts';
import { findEntry, type WeightEntry, type WeightSource } from '../../weights/weight-source.ts';
import type { CheckpointContent } from './checkpoints-node.ts';
import type { Run } from './run-folder-node.ts';

interface Head {
  readonly resumed:
    | { readonly path: string; readonly step: number; readonly state: unknown; readonly entries: WeightEntry[] }
    | undefined;
  readonly beganAgain: boolean;
}

/** Weights of rank 0 for all: every rank reads the same tensors in the same order. */
function broadcastWeights(ranks: Communicator, head: WeightEntry[], label: string, own?: WeightSource): WeightSource {
  const entries = new Map(head.map((entry) => [entry.name, entry]));
  return {
    label,
    entries,
    async read(name) {
      const { dtype, shape } = findEntry(label, entries, name);
      const bytes = own ? bytesOf(await own.read(name)) : new Uint8Array(elementCount(shape) * byteSize(dtype));
      const aligned = bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0 ? bytes : undefined;
      // Words of four bytes, because MPI counts elements in 31 bits.
      const moved = aligned
        ? new Float32Array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.length / 4)
        : (bytes.slice() as Uint8Array<ArrayBuffer>);
      await ranks.broadcast(moved);
      return fromBytes(dtype, shape, new Uint8Array(moved.buffer, moved.byteOffset, moved.byteLength)) as Tensor;
    },
    close: async () => own?.close(),
  };
}

/** The run as each rank sees it. `open` opens the folder, on rank 0 alone. */
export async function openSharedRun(folder: string, ranks: Communicator, open: () => Promise<Run>): Promise<Run> {
  if (ranks.size === 1) return open();
  const run = ranks.rank === 0 ? await open() : undefined;
  const found = run?.resumed;
  const head = await broadcastJson<Head>(
    ranks,
    run && {
      resumed: found && {
        path: found.path,
        step: found.step,
        state: found.state,
        entries: Array.from(found.weights.entries.values(), ({ name, dtype, shape }) => ({ name, dtype, shape })),
      },
      beganAgain: run.beganAgain,
    },
  );
  const { resumed } = head;
  const shared = resumed && {
    path: resumed.path,
    step: resumed.step,
    state: resumed.state,
    weights: broadcastWeights(ranks, resumed.entries, resumed.path, found?.weights),
  };
  return run ? { ...run, resumed: shared } : silentRun(folder, { ...head, resumed: shared });
}

/** Reads a checkpoint's tensors as a writer does, where all ranks must. */
async function readAlong({ entries, provide, together }: CheckpointContent): Promise<string> {
  if (together) for await (const _ of writeSafetensors(entries, provide)) void _;
  return '';
}

/** A run of a rank that writes nothing. */
function silentRun(folder: string, { resumed, beganAgain }: Pick<Run, 'resumed' | 'beganAgain'>): Run {
  return {
    folder,
    resumed,
    beganAgain,
    checkpoints: { save: readAlong, last: async () => undefined, best: async () => [] },
    scalars: async () => {},
    samples: async () => '',
    logged: async () => '',
    model: async () => '',
    report: async () => '',
    close: async () => {},
  };
}
