/**
 * NetworkPool: the compiled networks of a context. Nodes hold networks as plain data (configuration, weights, extensions); the pool compiles
 * one when it is first run and frees those that were not used for longest where the compiled ones take more than a limit.
 */

import type { Engine } from '../engine/engine.ts';
import type { Graph } from '../graph/graph.ts';
import { type NamedNetwork, NetworkSet } from '../model/network-set.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import { float32Bytes } from '../weights/weight-source.ts';

/** The graph of a network and its outputs. */
export interface NetworkCall {
  /** Default `forward`. */
  readonly graph?: string;
  readonly outputs: readonly string[];
}

interface Compiled {
  readonly set: NetworkSet;
  readonly bytes: number;
  running: number;
}

export class NetworkPool implements AsyncDisposable {
  readonly engine: Engine;
  readonly #limit: number;
  readonly #compiled = new Map<NamedNetwork, Compiled>();

  /** `limit`: bytes of weights that stay compiled, in float32; the network in use always does. Default 12 GiB. */
  constructor(engine: Engine, limit = 12 * 2 ** 30) {
    this.engine = engine;
    this.#limit = limit;
  }

  #of(network: NamedNetwork): Compiled {
    const known = this.#compiled.get(network);
    if (known) {
      // Moves to the end: the map is in the order of use.
      this.#compiled.delete(network);
      this.#compiled.set(network, known);
      return known;
    }
    const set = new NetworkSet({
      label: network.weights.label,
      engine: this.engine,
      networks: new Map([['network', network]]),
    });
    const made = { set, bytes: float32Bytes(network.weights), running: 0 };
    this.#compiled.set(network, made);
    return made;
  }

  /** Runs a network. Throws what `NetworkSet.run` throws. */
  async run(
    network: NamedNetwork,
    { graph, outputs }: NetworkCall,
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const compiled = this.#of(network);
    compiled.running += 1;
    try {
      await this.#free(this.#limit);
      return await compiled.set.run(
        { network: 'network', outputs, ...(graph === undefined ? {} : { graph }) },
        inputs,
        signal,
      );
    } finally {
      compiled.running -= 1;
    }
  }

  /** The graph of a network, for its sizes. */
  graph(network: NamedNetwork, call: NetworkCall): Graph {
    return this.#of(network).set.graph({ network: 'network', ...call });
  }

  /** Runs a network for one float32 output. */
  async runForOne(
    network: NamedNetwork,
    { graph, output }: { readonly graph?: string; readonly output: string },
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>> {
    const call = { outputs: [output], ...(graph === undefined ? {} : { graph }) };
    return expectDType((await this.run(network, call, inputs, signal))[output] as Tensor, 'float32', output);
  }

  async #free(limit: number): Promise<void> {
    let sum = 0;
    for (const { bytes } of this.#compiled.values()) sum += bytes;
    for (const [network, { set, bytes, running }] of this.#compiled) {
      if (sum <= limit) return;
      if (running > 0) continue;
      this.#compiled.delete(network);
      sum -= bytes;
      await set.dispose();
    }
  }

  /** Frees all networks that are not running; they are compiled again when they are used. */
  free(): Promise<void> {
    return this.#free(0);
  }

  async dispose(): Promise<void> {
    for (const { set } of this.#compiled.values()) await set.dispose();
    this.#compiled.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
