/**
 * DiLoCo (Douillard et al. 2023): every rank trains alone for H steps; then the mean of the ranks' parameters, as a difference from where
 * they began, is the gradient of an outer step of SGD with Nesterov's momentum, whose result all ranks go on from. Parameters cross the
 * network once in H steps.
 */

import { rangeCounts } from '../../distributed/communicator.ts';
import type { EngineState } from '../../engine/engine.ts';
import { float32 } from '../../tensor/tensor.ts';
import { squareRows } from './flat-programs.ts';
import type { StepRanks } from './gradient-exchange.ts';
import { stateNames } from './optimiser.ts';
import type { OuterConfig } from './outer-config.ts';
import { type Pack, packLike } from './packs.ts';

type Floats = Float32Array<ArrayBuffer>;

export class OuterStep {
  readonly #state: EngineState;
  readonly #packs: readonly Pack[];
  readonly #slots: readonly string[];
  readonly #ranks: StepRanks;
  readonly #config: OuterConfig;
  /** Parameters at the start of the round, by pack. */
  readonly #start = new Map<string, Floats>();
  #steps = 0;

  /** Use `createOuterStep`. */
  constructor(
    state: EngineState,
    packs: readonly Pack[],
    slots: readonly string[],
    ranks: StepRanks,
    config: OuterConfig,
  ) {
    this.#state = state;
    this.#packs = packs;
    this.#slots = slots;
    this.#ranks = ranks;
    this.#config = config;
  }

  /** Begins a round with the parameters of the state, which all ranks have the same. */
  async begin(): Promise<void> {
    this.#steps = 0;
    for (const { name } of this.#packs) this.#start.set(name, await this.#read(name));
  }

  async #read(name: string): Promise<Floats> {
    return (await this.#state.read([name]))[name]?.data as Floats;
  }

  #write(name: string, values: Floats): Promise<void> {
    return this.#state.write({ [name]: float32([values.length], values) });
  }

  /** The mean of a tensor over ranks. */
  async #mean(name: string): Promise<Floats> {
    const { communicator } = this.#ranks;
    const own = await this.#read(name);
    const counts = rangeCounts(own.length, communicator.size, squareRows);
    const part = await communicator.reduceScatter(own, counts);
    for (const [i, value] of part.entries()) part[i] = value / communicator.size;
    return communicator.allGather(part, counts);
  }

  /** After an inner step: the outer step where the round is over. */
  async after(): Promise<void> {
    this.#steps++;
    if (this.#steps >= this.#config.every) await this.#outer();
  }

  async #outer(): Promise<void> {
    const { learningRate, momentum } = this.#config;
    for (const { name } of this.#packs) {
      const mean = await this.#mean(name);
      const velocity = await this.#read(stateNames.outer(name));
      const start = this.#start.get(name) as Floats;
      for (let i = 0; i < mean.length; i++) {
        const gradient = (start[i] as number) - (mean[i] as number);
        velocity[i] = momentum * (velocity[i] as number) + gradient;
        mean[i] = (start[i] as number) - learningRate * (gradient + momentum * (velocity[i] as number));
      }
      await this.#write(stateNames.outer(name), velocity);
      await this.#write(name, mean);
    }
    await this.begin();
  }

  /** Before a checkpoint, on all ranks: ends the round, and gives all ranks the means of their moments and averages, which the checkpoint has. */
  async settle(): Promise<void> {
    if (this.#steps > 0) await this.#outer();
    if (this.#ranks.communicator.size === 1) return;
    for (const { name, averaged } of this.#packs) {
      for (const slot of this.#slots) await this.#settleOne(stateNames.slot(slot, name));
      if (averaged) await this.#settleOne(stateNames.average(name));
    }
  }

  async #settleOne(name: string): Promise<void> {
    await this.#write(name, await this.#mean(name));
  }
}

/** Makes the momentum of the outer step; undefined where it is not asked for. */
export async function createOuterStep(
  state: EngineState,
  packs: readonly Pack[],
  slots: readonly string[],
  ranks: StepRanks | undefined,
): Promise<OuterStep | undefined> {
  if (!ranks?.outer) return undefined;
  for (const { name, members } of packs) await packLike(state, stateNames.outer(name), members, stateNames.outer);
  const outer = new OuterStep(state, packs, slots, ranks, ranks.outer);
  await outer.begin();
  return outer;
}
