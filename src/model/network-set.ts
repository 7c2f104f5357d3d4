/** A set of named networks on one engine: each is traced and compiled when first used, and all are disposed of together. */

import type { NetworkConfig } from '../config/network-config.ts';
import { checkAvailable } from '../engine/available-memory.ts';
import type { Engine, Program } from '../engine/engine.ts';
import { type Precision, type PrecisionName, precisionOf } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Extension } from '../extensions/extension.ts';
import type { SeamlessAxes } from '../extensions/seamless.ts';
import type { Graph } from '../graph/graph.ts';
import { networkDefinition, networkParameters } from '../models/index.ts';
import { assertMatch, compareParameters } from '../checkpoints/report.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { elementCount, expectDType, type Tensor } from '../tensor/tensor.ts';
import { checkTokens } from './check-tokens.ts';
import { bytesOfRun, type InputShapes } from './memory-need.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface NamedNetwork {
  readonly config: NetworkConfig;
  /** Under canonical names. */
  readonly weights: WeightSource;
  /** Of a UNet. The weights hold their parameters too. */
  readonly extensions?: readonly Extension[] | undefined;
  /** Of a UNet: the latent's sides, where an extension needs them. */
  readonly size?: readonly [height: number, width: number] | undefined;
  /** Of an autoencoder: the axes along which pictures have no seam. */
  readonly seamless?: SeamlessAxes | undefined;
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
  for (const { config, weights, extensions, size } of networks)
    assertMatch(compareParameters(networkParameters(config, extensions, size), weights));
}

const keyOf = ({ network, graph = 'forward', outputs }: GraphChoice): string => `${network} ${graph} ${outputs.join()}`;

function allFinite(value: Tensor | undefined): boolean {
  return value?.dtype !== 'float32' || (value.data as Float32Array).every(Number.isFinite);
}

function notFinite(label: string, network: string, output: string): StableDiffusionError {
  return new StableDiffusionError(
    'not-finite',
    `The network ${network} of ${label} returned ${output} with NaN or infinite values. Its weights may be damaged; check the file with sd inspect.`,
  );
}

export class NetworkSet implements AsyncDisposable {
  readonly engine: Engine;
  readonly #options: NetworkSetOptions;
  readonly #graphs = new Map<string, Graph>();
  readonly #programs = new Map<string, Promise<Program>>();
  /** Networks that run in float32 although the set's precision is lower. */
  readonly #full = new Set<string>();
  /** Bytes of values of the largest run of each program: the runtime keeps them for the next. */
  readonly #held = new Map<string, number>();
  /** Runs under way of each program: these are not freed. */
  readonly #uses = new Map<string, number>();
  #disposed = false;

  constructor(options: NetworkSetOptions) {
    this.#options = options;
    this.engine = options.engine;
    // T5's residuals leave float16's range, and what overflows need not be seen in the result.
    if (precisionOf(options.precision).compute === 'float16')
      for (const [name, { config }] of options.networks) if (config.kind === 't5_encoder') this.#full.add(name);
  }

  /** The configuration of a network, or undefined if the set has none of this name. */
  config(network: string): NetworkConfig | undefined {
    return this.#options.networks.get(network)?.config;
  }

  /** A network of the set. Throws `invalid-argument` if there is none of this name. */
  named(name: string): NamedNetwork {
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
    const key = keyOf({ network, graph, outputs });
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
    const { config, extensions, size, seamless } = this.named(network);
    const trace = networkDefinition(config).parts(config)[graph];
    if (trace) return trace({ outputs, extensions, size, seamless });
    throw new StableDiffusionError(
      'invalid-argument',
      `The network ${network} (${config.kind}) has no graph ${graph}.`,
    );
  }

  /** The compiled program of a graph; compiled once. Throws as `graph`, `weights-mismatch`, `engine-failed` or `aborted`. */
  compile(choice: GraphChoice, signal?: AbortSignal): Promise<Program> {
    const { label, engine, precision } = this.#options;
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', `${label} has been disposed of.`);
    const key = keyOf(choice);
    const known = this.#programs.get(key);
    if (known) return known;
    const program = engine.compile(this.graph(choice), this.named(choice.network).weights, {
      precision: this.#full.has(choice.network) ? 'float32' : precision,
      ...(signal ? { signal } : {}),
    });
    this.#programs.set(key, program);
    program.catch(() => this.#programs.delete(key));
    return program;
  }

  /** Throws `too-large` with the figures where one of some runs needs more memory than there is. Gives the bytes of the largest. */
  checkMemory(uses: readonly (GraphChoice & { readonly shapes: InputShapes })[]): number {
    const element = precisionOf(this.#options.precision).compute === 'float16' ? 2 : 4;
    const needs = uses.map((use) => ({ use, needed: bytesOfRun(this.graph(use), use.shapes, element) }));
    const [largest] = needs.sort((a, b) => b.needed - a.needed);
    if (!largest) return 0;
    checkAvailable(this.engine, largest.use.network, largest.needed, this.#held.get(keyOf(largest.use)));
    return largest.needed;
  }

  /** Runs a graph on tensors by input name. Throws as `compile`, and `shape-mismatch`. */
  async run(
    choice: GraphChoice,
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const key = keyOf(choice);
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    try {
      return await this.#run(choice, inputs, signal);
    } finally {
      this.#uses.set(key, (this.#uses.get(key) ?? 0) - 1);
    }
  }

  async #run(
    choice: GraphChoice,
    inputs: NetworkInputs,
    signal?: AbortSignal,
  ): Promise<Readonly<Record<string, Tensor>>> {
    const network = this.#options.networks.get(choice.network);
    if (network) checkTokens(this.#options.label, choice.network, network.config, inputs);
    const full = this.#isFull(choice);
    const shapes = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, shape]));
    const needed = this.checkMemory([{ ...choice, shapes }]);
    const program = await this.compile(choice, signal);
    const results = await program.run(inputs, signal ? { signal } : {});
    const key = keyOf(choice);
    this.#held.set(key, Math.max(needed, this.#held.get(key) ?? 0));
    const missing = choice.outputs.find((name) => results[name] === undefined);
    if (missing !== undefined)
      throw new StableDiffusionError('engine-failed', `The network ${choice.network} returned no ${missing}.`);
    const wrong = choice.outputs.find((name) => !allFinite(results[name]));
    // Values outside the range elsewhere are that part's error.
    if (wrong === undefined || !Object.values(inputs).every(allFinite)) return results;
    if (full) throw notFinite(this.#options.label, choice.network, wrong);
    // Out of the range of the reduced precision, as autoencoders are in float16: from now on in float32.
    await this.#useFloat32(choice, program);
    return this.#run(choice, inputs, signal);
  }

  #isFull({ network }: GraphChoice): boolean {
    return this.#full.has(network) || precisionOf(this.#options.precision).compute === 'float32';
  }

  /** Compiles the graph again in float32 at its next run. */
  async #useFloat32(choice: GraphChoice, program: Program): Promise<void> {
    if (this.#full.has(choice.network)) return;
    this.#full.add(choice.network);
    this.#programs.delete(keyOf(choice));
    await program.dispose();
  }

  /** Bytes that the weights of networks will take which are not compiled yet; an estimate. */
  bytesToCome(names: readonly string[]): number {
    const { storage } = precisionOf(this.#options.precision);
    const size = storage === 'int8' ? 1 : storage === 'float16' ? 2 : 4;
    return names
      .filter((name) => ![...this.#programs.keys()].some((key) => key.startsWith(`${name} `)))
      .flatMap((name) => [...(this.#options.networks.get(name)?.weights.entries.values() ?? [])])
      .reduce((sum, { shape }) => sum + elementCount(shape) * size, 0);
  }

  /** Frees the programs of one network that are not running; they are compiled again when next used. */
  async release(network: string): Promise<void> {
    for (const [key, program] of [...this.#programs]) {
      if (!key.startsWith(`${network} `) || (this.#uses.get(key) ?? 0) > 0) continue;
      this.#programs.delete(key);
      this.#held.delete(key);
      await program.then(
        (compiled) => compiled.dispose(),
        () => {},
      );
    }
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

/** The networks of a checkpoint, the UNet with extensions of its own. */
export function withExtensions(
  networks: ReadonlyMap<string, NamedNetwork>,
  extensions: readonly Extension[],
): ReadonlyMap<string, NamedNetwork> {
  const unet = networks.get('unet');
  return unet && extensions.length > 0 ? new Map([...networks, ['unet', { ...unet, extensions }]]) : networks;
}
