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
import type { Pack } from './packs.ts';
import { Scratch } from './scratch.ts';

type Floats = Float32Array<ArrayBuffer>;

/** The processes that train together. */
export interface StepRanks {
  readonly communicator: Communicator;
  /** Divides moments and averages over the ranks. Default false. */
  readonly sharded?: boolean;
  /** Divides gradients too; with `sharded`. */
  readonly shardedGradients?: boolean;
  /** Batch norm and the adversarial weight take their statistics over the batches of all ranks. Not with `outer`. */
  readonly wholeStatistics?: boolean;
  /** Parts of the backward pass: the gradients of one are summed over ranks while the next runs. Default 1. */
  readonly parts?: number;
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

/** Whether each rank keeps its part of the gradients alone. */
export const dividesGradients = (ranks: StepRanks | undefined): boolean =>
  ranks?.sharded === true && ranks.shardedGradients === true && ranks.communicator.size > 1;

const lengthOf = (state: EngineState, pack: string): number => elementCount(state.entries.get(pack)?.shape ?? []);

/** The part of a pack that a rank sums and, with divided states, updates. */
export function ownRange(state: EngineState, pack: string, { communicator }: StepRanks): PackRange {
  return rangeOf(lengthOf(state, pack), communicator, squareRows);
}

/**
 * Sums gradients over ranks, pack by pack, in the order in which packs are added. Packs that are added while more of the backward pass runs
 * are summed meanwhile.
 */
export class GradientExchange {
  readonly #state: EngineState;
  readonly #ranks: StepRanks;
  readonly #keepPart: ((pack: string, part: Floats) => Promise<void>) | undefined;
  /** This rank's parts of sums, where gradients are divided. */
  readonly #parts = new Map<string, Floats>();
  readonly #memory = { part: new Scratch(), whole: new Scratch() };
  #last: Promise<void> = Promise.resolve();
  #writes: Promise<void>[] = [];

  /** With `keepPart` each rank keeps its part of a pack alone. */
  constructor(state: EngineState, ranks: StepRanks, keepPart?: (pack: string, part: Floats) => Promise<void>) {
    this.#state = state;
    this.#ranks = ranks;
    this.#keepPart = keepPart;
  }

  /** The gradients of packs are finished; `more` is true if the engine has more to do for this step. */
  add(packs: readonly Pack[], more: boolean): void {
    // What the engine shall give before it goes on it must be asked for now; else a pack at a time, to save memory.
    const given = packs.map((pack) => {
      const values = more ? this.#take(pack) : undefined;
      values?.catch(() => undefined);
      return { pack, values };
    });
    this.#last = this.#last.then(async () => {
      for (const { pack, values } of given) await this.#sum(pack.name, await (values ?? this.#take(pack)));
    });
    this.#last.catch(() => undefined);
  }

  /** The mean over ranks of numbers in the middle of a backward pass, after the sums before it. */
  mean(values: Floats): Promise<Floats> {
    const { communicator } = this.#ranks;
    const result = this.#last.then(async () => {
      const sums = await communicator.allReduce(values);
      return sums.map((sum) => sum / communicator.size);
    });
    this.#last = result.then(() => undefined);
    this.#last.catch(() => undefined);
    return result;
  }

  /** Reads the gradient of a pack; one that is divided leaves the state. */
  async #take({ name, members }: Pack): Promise<Floats> {
    const gradient = stateNames.gradient(name);
    const reading = this.#state.read([gradient]);
    const { [gradient]: own } = dividesGradients(this.#ranks)
      ? (await Promise.all([reading, this.#state.remove([gradient, ...members.map(stateNames.gradient)])]))[0]
      : await reading;
    return own?.data as Floats;
  }

  async #sum(name: string, values: Floats): Promise<void> {
    const { communicator, reduction } = this.#ranks;
    const counts = rangeCounts(values.length, communicator.size, squareRows);
    const words = reduction === 'bfloat16' ? await sumInBfloat16(communicator, values, counts) : undefined;
    const divided = dividesGradients(this.#ranks);
    if (divided || this.#keepPart) {
      const part = words ? widened(words) : await communicator.reduceScatter(values, counts);
      if (divided) this.#add(name, part);
      else if (this.#keepPart) this.#writes.push(this.#keepPart(name, part));
    } else {
      const whole = words ? widened(await communicator.allGather(words, counts)) : await this.#sumWhole(values, counts);
      this.#writes.push(this.#state.write({ [stateNames.gradient(name)]: float32([whole.length], whole) }));
    }
    this.#writes.at(-1)?.catch(() => undefined);
  }

  /** The sum of a pack, until the next one: a state copies what is written to it. */
  async #sumWhole(values: Floats, counts: readonly number[]): Promise<Floats> {
    const { communicator } = this.#ranks;
    const { part, whole } = this.#memory;
    const own = await communicator.reduceScatter(values, counts, part.take(counts[communicator.rank] ?? 0));
    return communicator.allGather(own, counts, whole.take(values.length));
  }

  #add(name: string, part: Floats): void {
    const sum = this.#parts.get(name);
    if (!sum) this.#parts.set(name, part);
    else for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (part[i] as number);
  }

  /** Waits until all sums are in the state. */
  async done(): Promise<void> {
    await this.#last;
    await Promise.all(this.#writes);
    this.#writes = [];
    for (const [name, part] of this.#parts) {
      this.#parts.delete(name);
      const own = stateNames.part(stateNames.gradient(name));
      if (part.length > 0) await this.#state.write({ [own]: float32([part.length], part) });
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
