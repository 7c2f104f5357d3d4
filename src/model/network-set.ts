/** A set of named networks on one engine: each is traced and compiled when first used, and all are disposed of together. */

import type { NetworkConfig } from '../config/network-config.ts';
import type { Engine, Program } from '../engine/engine.ts';
import type { Precision, PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Extension } from '../extensions/extension.ts';
import type { Graph } from '../graph/graph.ts';
import { networkDefinition, networkParameters } from '../models/index.ts';
import { assertMatch, compareParameters } from '../checkpoints/report.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface NamedNetwork {
  readonly config: NetworkConfig;
  /** Under canonical names. */
  readonly weights: WeightSource;
  /** Of a UNet. The weights hold their parameters too. */
  readonly extensions?: readonly Extension[] | undefined;
}

export interface NetworkSetOptions {
  /** Names the set in errors. */
  readonly label: string;
  readonly engine: Engine;
  readonly networks: ReadonlyMap<string, NamedNetwork>;
  /** Default float32. */
  readonly precision?: PrecisionName | Precision | undefined;
}

/** One graph of a network, and the outputs to make. */
export interface GraphChoice {
  readonly network: string;
  /** Default `forward`, the graph of networks that have one. */
  readonly graph?: string;
  readonly outputs: readonly string[];
}

/** Checks names and shapes of all parameters. Throws `weights-mismatch`, naming all that differ. Reads no weights. */
export function assertNetworksMatch(networks: Iterable<NamedNetwork>): void {
  for (const { config, weights, extensions } of networks)
    assertMatch(compareParameters(networkParameters(config, extensions), weights));
}

export class NetworkSet implements AsyncDisposable {
  readonly engine: Engine;
  readonly #options: NetworkSetOptions;
  readonly #graphs = new Map<string, Graph>();
  readonly #programs = new Map<string, Promise<Program>>();
  #disposed = false;

  constructor(options: NetworkSetOptions) {
    this.#options = options;
    this.engine = options.engine;
  }

  /** The configuration of a network, or undefined if the set has none of this name. */
  config(network: string): NetworkConfig | undefined {
    return this.#options.networks.get(network)?.config;
  }

  #network(name: string): NamedNetwork {
    const { label, networks } = this.#options;
    const found = networks.get(name);
    if (found) return found;
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} has no network ${name}; it has ${[...networks.keys()].join(', ')}.`,
    );
  }

  /** The graph with these outputs; traced once. Throws `invalid-argument` if there is no such network, graph or output. */
  graph({ network, graph = 'forward', outputs }: GraphChoice): Graph {
    const key = `${network} ${graph} ${outputs.join()}`;
    const known = this.#graphs.get(key);
    if (known) return known;
    const traced = this.#trace(network, graph, outputs);
    this.#graphs.set(key, traced);
    return traced;
  }

  /** The names of all outputs of a graph. */
  outputs({ network, graph = 'forward' }: Omit<GraphChoice, 'outputs'>): readonly string[] {
    return this.#trace(network, graph, undefined).outputs.map(({ name }) => name);
  }

  #trace(network: string, graph: string, outputs: readonly string[] | undefined): Graph {
    const { config, extensions } = this.#network(network);
    const trace = networkDefinition(config).parts(config)[graph];
    if (trace) return trace({ outputs, extensions });
    throw new StableDiffusionError(
      'invalid-argument',
      `The network ${network} (${config.kind}) has no graph ${graph}.`,
    );
  }

  /** The compiled program of a graph; compiled once. Throws as `graph`, `weights-mismatch`, `engine-failed` or `aborted`. */
  compile(choice: GraphChoice, signal?: AbortSignal): Promise<Program> {
    const { label, engine, precision } = this.#options;
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', `${label} has been disposed of.`);
    const key = `${choice.network} ${choice.graph ?? 'forward'} ${choice.outputs.join()}`;
    const known = this.#programs.get(key);
    if (known) return known;
    const program = engine.compile(this.graph(choice), this.#network(choice.network).weights, {
      ...(precision ? { precision } : {}),
      ...(signal ? { signal } : {}),
    });
    this.#programs.set(key, program);
    program.catch(() => this.#programs.delete(key));
    return program;
  }

  /** Runs a graph on tensors by input name. Throws as `compile`, and `shape-mismatch`. */
  async run(
    choice: GraphChoice,
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const program = await this.compile(choice, signal);
    const results = await program.run(inputs, signal ? { signal } : {});
    const missing = choice.outputs.find((name) => results[name] === undefined);
    if (missing !== undefined)
      throw new StableDiffusionError('engine-failed', `The network ${choice.network} returned no ${missing}.`);
    return results;
  }

  /** Frees the memory of all compiled networks. The engine and the weights stay open. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    for (const program of this.#programs.values())
      await program.then(
        (compiled) => compiled.dispose(),
        () => {},
      );
    this.#programs.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Runs a graph for one float32 output. */
export async function runForOne(
  networks: Pick<NetworkSet, 'run'>,
  { output, ...choice }: Omit<GraphChoice, 'outputs'> & { readonly output: string },
  inputs: NetworkInputs,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const results = await networks.run({ ...choice, outputs: [output] }, inputs, signal);
  return expectDType(results[output] as Tensor, 'float32', output);
}
