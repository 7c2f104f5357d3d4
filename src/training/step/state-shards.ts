/**
 * Moments and averages divided over ranks (ZeRO 1; Rajbhandari et al. 2020): of every pack each rank keeps those of its range, updates
 * the parameters there, and gets the others' parameters. Every element is computed as without division, so the bits are the same.
 */

import { type Communicator, rangeCounts } from '../../distributed/communicator.ts';
import type { Engine, EngineState, Program, StatePart } from '../../engine/engine.ts';
import { packPlaces } from '../../engine/feeds.ts';
import { elementCount, float32, type Shape, type Tensor } from '../../tensor/tensor.ts';
import { compileCopy, squareRows } from './flat-programs.ts';
import { dividesGradients, ownRange, type PackRange, type StepRanks } from './gradient-exchange.ts';
import { stateNames } from './optimiser.ts';
import type { Pack } from './packs.ts';
import { Scratch } from './scratch.ts';

type Floats = Float32Array<ArrayBuffer>;

interface DividedPack extends Pack {
  /** Of this rank. */
  readonly range: PackRange;
  /** Lengths of the ranges of all ranks. */
  readonly counts: readonly number[];
}

/** A parameter's moment or average: elements start … end - 1 of the divided tensor of a pack. */
interface Place {
  readonly pack: DividedPack;
  readonly tensor: string;
  readonly start: number;
  readonly end: number;
  readonly shape: Shape;
}

export class StateShards {
  readonly #state: EngineState;
  readonly #communicator: Communicator;
  readonly #packs: readonly DividedPack[];
  readonly #copy: Program;
  readonly #places = new Map<string, Place>();
  readonly #whole = new Scratch();

  /** Use `divideStates`. */
  constructor(state: EngineState, packs: readonly Pack[], slots: readonly string[], ranks: StepRanks, copy: Program) {
    this.#state = state;
    this.#communicator = ranks.communicator;
    this.#copy = copy;
    this.#packs = packs.map((pack) => ({
      ...pack,
      range: ownRange(state, pack.name, ranks),
      counts: rangeCounts(elementCount(state.entries.get(pack.name)?.shape ?? []), ranks.communicator.size, squareRows),
    }));
    for (const pack of this.#packs) {
      const shapes = Object.fromEntries(pack.members.map((name) => [name, state.entries.get(name)?.shape ?? []]));
      const { starts } = packPlaces(shapes);
      for (const [name, shape] of Object.entries(shapes)) {
        const start = starts.get(name) ?? 0;
        const add = (own: string, ofPack: string): void => {
          const tensor = stateNames.part(ofPack);
          this.#places.set(own, { pack, tensor, start, end: start + elementCount(shape), shape });
        };
        if (dividesGradients(ranks)) add(stateNames.gradient(name), stateNames.gradient(pack.name));
        for (const slot of slots) add(stateNames.slot(slot, name), stateNames.slot(slot, pack.name));
        if (pack.averaged) add(stateNames.average(name), stateNames.average(pack.name));
      }
    }
  }

  /** Shape of a divided tensor by its parameter's name in checkpoints, such as `exp_avg/NAME`; undefined for others. */
  shapeOf(name: string): Shape | undefined {
    return this.#places.get(name)?.shape;
  }

  /** The range of a pack that this rank updates. */
  rangeOf(pack: string): PackRange {
    return this.#packs.find(({ name }) => name === pack)?.range ?? { start: 0, end: 0 };
  }

  /** Makes the tensors of this rank: moments of zeros, averages equal to the parameters. Those that are there stay. */
  async make(slots: readonly string[]): Promise<void> {
    for (const { name, range, averaged } of this.#packs) {
      const length = range.end - range.start;
      if (length === 0) continue;
      for (const slot of slots) await this.#create(stateNames.slot(slot, name), new Float32Array(length));
      if (averaged) await this.#create(stateNames.average(name), await this.#take({ name, ...range }));
    }
  }

  async #create(name: string, values: Floats): Promise<void> {
    const part = stateNames.part(name);
    if (!this.#state.entries.has(part)) await this.#state.write({ [part]: float32([values.length], values) });
  }

  /** Elements of a tensor of the state. */
  async #take(place: StatePart): Promise<Floats> {
    if (place.start === place.end) return new Float32Array(0);
    const one = float32([], [1]);
    const [made] = await this.#copy.runBound(this.#state, [{ tensors: { one }, inputs: { x: place } }]);
    return (made?.['y']?.data ?? new Float32Array(0)) as Floats;
  }

  async #put(place: StatePart, values: Floats): Promise<void> {
    if (place.start === place.end) return;
    const tensors = { one: float32([], [1]), x: float32([values.length], values) };
    await this.#copy.runBound(this.#state, [{ tensors, outputs: { y: place } }]);
  }

  /** Writes this rank's part of a pack's gradient. */
  keepGradient(pack: string, part: Floats): Promise<void> {
    return this.#put({ name: stateNames.gradient(pack), ...this.rangeOf(pack) }, part);
  }

  async #gather({ name, counts }: DividedPack, part: Floats): Promise<void> {
    const length = elementCount(this.#state.entries.get(name)?.shape ?? []);
    const whole = await this.#communicator.allGather(part, counts, this.#whole.take(length));
    await this.#state.write({ [name]: float32([whole.length], whole) });
  }

  /** After an update: every rank gets the parameters of the others. */
  async gatherParameters(): Promise<void> {
    for (const pack of this.#packs) await this.#gather(pack, await this.#take({ name: pack.name, ...pack.range }));
  }

  /** Does `work`, on all ranks, while the parameters are their averages. */
  async withAverages<T>(work: () => Promise<T>): Promise<T> {
    const averaged = this.#packs.filter((pack) => pack.averaged);
    const kept: Floats[] = [];
    for (const pack of averaged) {
      const { start, end } = pack.range;
      kept.push(await this.#take({ name: pack.name, start, end }));
      const part = { name: stateNames.part(stateNames.average(pack.name)), start: 0, end: end - start };
      await this.#gather(pack, await this.#take(part));
    }
    const result = await work();
    for (const [i, pack] of averaged.entries()) await this.#gather(pack, kept[i] as Floats);
    return result;
  }

  /** The elements of a divided tensor that a rank has, in the tensor and in the rank's part. */
  #own({ pack, tensor, start, end }: Place): { readonly from: number; readonly part: StatePart } {
    const first = Math.max(start, pack.range.start);
    const last = Math.max(first, Math.min(end, pack.range.end));
    return {
      from: first - start,
      part: { name: tensor, start: first - pack.range.start, end: last - pack.range.start },
    };
  }

  /** A whole divided tensor. All ranks read the same, in the same order. */
  async read(name: string): Promise<Tensor> {
    const place = this.#places.get(name) as Place;
    let start = 0;
    const counts = place.pack.counts.map((count) => {
      const end = start + count;
      const own = Math.max(0, Math.min(end, place.end) - Math.max(start, place.start));
      start = end;
      return own;
    });
    const { part } = this.#own(place);
    const own = part.start < part.end ? await this.#take(part) : new Float32Array(0);
    return float32(place.shape, await this.#communicator.allGather(own, counts));
  }

  /** Keeps this rank's part of a whole tensor. */
  async write(name: string, { data }: Tensor): Promise<void> {
    const { from, part } = this.#own(this.#places.get(name) as Place);
    if (part.start >= part.end) return;
    await this.#put(part, (data as Floats).slice(from, from + part.end - part.start));
  }

  dispose(): Promise<void> {
    return this.#copy.dispose();
  }
}

/** Divides moments and averages of packs over the ranks. Undefined for a single rank, or without `sharded`. */
export async function divideStates(
  engine: Engine,
  state: EngineState,
  packs: readonly Pack[],
  slots: readonly string[],
  ranks: StepRanks | undefined,
): Promise<StateShards | undefined> {
  if (!ranks?.sharded || ranks.communicator.size === 1) return undefined;
  const shards = new StateShards(state, packs, slots, ranks, await compileCopy(engine));
  await shards.make(slots);
  return shards;
}
