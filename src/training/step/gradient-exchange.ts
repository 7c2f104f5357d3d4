/**
 * Sums of gradients over ranks, pack by pack: each rank gets the sum of a part of every pack (reduce-scatter), and unless the states are
 * divided, the parts of all (all-gather). What a rank computes on its own part, such as the norm, is then the same in both forms, to the bit.
 */

import { type Communicator, rangeCounts, rangeOf } from '../../distributed/communicator.ts';
import type { EngineState } from '../../engine/engine.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import { sumInBfloat16, widened } from './bfloat16-sum.ts';
import { squareRows } from './flat-programs.ts';
import { stateNames } from './optimiser.ts';
import type { OuterConfig } from './outer-config.ts';

/** The processes that train together. */
export interface StepRanks {
  readonly communicator: Communicator;
  /** Divides moments and averages over the ranks. Default false. */
  readonly sharded?: boolean;
  /** How gradients cross the network. Default float32. */
  readonly reduction?: 'float32' | 'bfloat16';
  /** Ranks train alone and meet in an outer step (DiLoCo). Not with `sharded`. */
  readonly outer?: OuterConfig;
}

/** Elements start … end - 1 of a pack. */
export interface PackRange {
  readonly start: number;
  readonly end: number;
}

const lengthOf = (state: EngineState, pack: string): number => elementCount(state.entries.get(pack)?.shape ?? []);

/** The part of a pack that a rank sums and, with divided states, updates. */
export function ownRange(state: EngineState, pack: string, { communicator }: StepRanks): PackRange {
  return rangeOf(lengthOf(state, pack), communicator, squareRows);
}

/** Replaces the gradients of packs by their sums over the ranks; with `keepPart`, each rank's part alone. */
export async function sumGradients(
  state: EngineState,
  packs: readonly { readonly name: string }[],
  { communicator, reduction }: StepRanks,
  keepPart?: (pack: string, part: Float32Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const keep = (name: string, whole: Float32Array): Promise<void> =>
    state.write({ [name]: float32([whole.length], whole) });
  for (const { name } of packs) {
    const gradient = stateNames.gradient(name);
    const counts = rangeCounts(lengthOf(state, name), communicator.size, squareRows);
    const { [gradient]: own } = await state.read([gradient]);
    const values = own?.data as Float32Array<ArrayBuffer>;
    if (reduction === 'bfloat16') {
      const part = await sumInBfloat16(communicator, values, counts);
      if (keepPart) await keepPart(name, widened(part));
      else await keep(gradient, widened(await communicator.allGather(part, counts)));
    } else {
      const part = await communicator.reduceScatter(values, counts);
      if (keepPart) await keepPart(name, part);
      else await keep(gradient, await communicator.allGather(part, counts));
    }
  }
}

/** Gives all ranks the values that tensors of the state have on rank 0: running statistics, as DistributedDataParallel does with buffers. */
export async function shareFirst(
  state: EngineState,
  names: readonly string[],
  { communicator }: StepRanks,
): Promise<void> {
  const kept = names.filter((name) => state.entries.get(name)?.dtype === 'float32');
  if (kept.length === 0) return;
  const values = await state.read(kept);
  for (const name of kept) await communicator.broadcast(values[name]?.data as Float32Array<ArrayBuffer>);
  if (communicator.rank > 0) await state.write(values);
}

/** Numbers added over ranks. Every rank has the same names, in the same order. */
async function sumNumbers(
  communicator: Communicator,
  values: Readonly<Record<string, number>>,
): Promise<Record<string, number>> {
  const sums = await communicator.allReduce(Float64Array.from(Object.values(values)));
  return Object.fromEntries(Object.keys(values).map((name, i) => [name, sums[i] ?? 0]));
}

/** Metrics as means over ranks. */
export async function meanOverRanks(
  communicator: Communicator,
  metrics: Readonly<Record<string, number>>,
): Promise<Record<string, number>> {
  if (communicator.size === 1) return metrics;
  const sums = await sumNumbers(communicator, metrics);
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / communicator.size]));
}

/** Sums of squares added over ranks, and means of metrics, in one operation. */
export async function meetScalars(
  communicator: Communicator,
  squares: number,
  metrics: Readonly<Record<string, number>>,
): Promise<{ readonly squares: number; readonly metrics: Record<string, number> }> {
  const means = await meanOverRanks(communicator, { ...metrics, ' squares': squares * communicator.size });
  const { ' squares': sum = Number.NaN, ...rest } = means;
  return { squares: sum, metrics: rest };
}
