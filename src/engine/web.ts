/**
 * The engine in browsers: onnxruntime-web, on WASM (threads where the page is cross-origin isolated) or WebGPU.
 *
 * ONNX Runtime computes on the thread that calls it; a page keeps its own thread free by using the library in a worker.
 */

import type { InferenceSession, InferenceSessionFactory, TensorConstructor } from 'onnxruntime-common';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import { emitOnnx } from '../onnx/emit.ts';
import { elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { fusedAttentionWorks, hasAttention } from './attention-check.ts';
import type {
  BoundOptions,
  BoundRun,
  CompileOptions,
  Engine,
  EngineLimits,
  EngineState,
  Program,
  RunOptions,
  StatePart,
  Tensors,
} from './engine.ts';
import {
  checkStateWrite,
  givenParameters,
  placeOf,
  planPack,
  prepareFeeds,
  unboundOutputs,
  wantedOutputs,
} from './feeds.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { type Precision, precisionOf } from './precision.ts';
import { planWeights, readBuffers, type WeightBuffer } from './weights.ts';

export interface WebEngineOptions {
  /** Default 'wasm'. */
  readonly provider?: 'wasm' | 'webgpu';
  /** Where the runtime's .wasm and .mjs files are served, ending in '/'; by default beside the script. */
  readonly wasmPath?: string;
  /**
   * Bytes of a network's float32 weights beyond which WASM, which has 4 GiB in all, keeps them as float16 and converts them in each run.
   * Default 2e9: the UNet of Stable Diffusion, and no smaller network.
   */
  readonly halveAbove?: number;
  /** Threads of the WASM provider; by default the runtime's choice. More than one needs a cross-origin isolated page. */
  readonly threads?: number;
}

interface Runtime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
  readonly env: { readonly wasm: { wasmPaths?: unknown; numThreads?: number }; logLevel?: string };
}

async function loadRuntime(options: WebEngineOptions): Promise<Runtime> {
  const runtime: Runtime =
    options.provider === 'webgpu' ? await import('onnxruntime-web/webgpu') : await import('onnxruntime-web/wasm');
  if (options.wasmPath !== undefined)
    runtime.env.wasm.wasmPaths = new URL(options.wasmPath, globalThis.location?.href).href;
  if (options.threads !== undefined) runtime.env.wasm.numThreads = options.threads;
  runtime.env.logLevel = 'error';
  return runtime;
}

/** The one head of an autoencoder overflows in ONNX Runtime's kernel on pictures of 512 x 512. */
const widestFusedHead = 64;

/** What weights may take of WASM's 4 GiB, so that something is left to compute with. */
const mostWasmWeights = 3e9;

/**
 * Positions of all latents in one run of the UNet on WASM: those of one picture of 512 x 512 pixels. Beside Stable Diffusion's weights its
 * 4 GiB hold no more.
 */
const wasmLatentPositions = 64 * 64;

/** WASM throws bare numbers (addresses of C++ exceptions) as well as errors. */
function failure(error: unknown): StableDiffusionError {
  const text = error instanceof Error ? error.message : `error ${String(error)}`;
  if (/bad_alloc|out of memory/i.test(text)) {
    return new StableDiffusionError(
      'too-large',
      'The browser has no memory left for this. Make a smaller picture, or fewer at once.',
      { cause: error },
    );
  }
  return new StableDiffusionError('engine-failed', `ONNX Runtime failed: ${text}`, { cause: error });
}

/** Calls of one after the other: a session does not take a second run before the first has ended. */
class Turns {
  #last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** Tensors in the page's memory; the runtime copies what a program reads and returns what it writes. */
class WebState implements EngineState {
  readonly entries = new Map<string, Tensor>();
  readonly #packed = new Set<string>();

  async read(names: readonly string[] = [...this.entries.keys()]): Promise<Record<string, Tensor>> {
    return Object.fromEntries(
      names.map((name) => {
        const value = this.tensor(name);
        return [name, { ...value, data: value.data.slice() } as Tensor];
      }),
    );
  }

  async write(tensors: Tensors): Promise<void> {
    checkStateWrite(this.entries, tensors);
    for (const [name, value] of Object.entries(tensors)) {
      const known = this.entries.get(name);
      if (known) known.data.set(value.data as never);
      else this.entries.set(name, { ...value, data: value.data.slice() } as Tensor);
    }
  }

  async pack(pack: string, members: Readonly<Record<string, Shape>>): Promise<void> {
    const { starts, length } = planPack(this.entries, this.#packed, pack, members);
    const whole = new Float32Array(length);
    this.entries.set(pack, { dtype: 'float32', shape: [length], data: whole });
    for (const [name, shape] of Object.entries(members)) {
      const start = starts.get(name) ?? 0;
      const data = whole.subarray(start, start + elementCount(shape));
      const known = this.entries.get(name);
      if (known) data.set(known.data as Float32Array);
      this.entries.set(name, { dtype: 'float32', shape, data });
      this.#packed.add(name);
    }
  }

  /** The elements a program works on, where they lie. */
  view(bound: string | StatePart, rank: number): Tensor {
    const { name, flat } = placeOf(this, bound, rank);
    const value = this.tensor(name);
    return flat
      ? ({ ...value, shape: [flat.end - flat.start], data: value.data.subarray(flat.start, flat.end) } as Tensor)
      : value;
  }

  tensor(name: string): Tensor {
    const found = this.entries.get(name);
    if (!found) throw new StableDiffusionError('invalid-argument', `The state has no tensor ${name}.`);
    return found;
  }

  async dispose(): Promise<void> {
    this.entries.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

class WebProgram implements Program {
  readonly graph: Graph;
  readonly #session: InferenceSession;
  readonly #runtime: Runtime;
  readonly #turns: Turns;
  readonly #parameters: CompileOptions['parameters'];
  #disposed = false;

  constructor(
    graph: Graph,
    session: InferenceSession,
    runtime: Runtime,
    turns: Turns,
    parameters: CompileOptions['parameters'],
  ) {
    this.graph = graph;
    this.#session = session;
    this.#runtime = runtime;
    this.#turns = turns;
    this.#parameters = parameters;
  }

  async run(inputs: Tensors, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    const outputs = wantedOutputs(this.graph, options.outputs);
    return this.#run(prepareFeeds(this.graph, inputs, this.#parameters), outputs, options.signal);
  }

  async runBound(
    state: EngineState,
    runs: readonly BoundRun[],
    options: BoundOptions = {},
  ): Promise<Record<string, Tensor>[]> {
    if (!(state instanceof WebState))
      throw new StableDiffusionError('invalid-argument', 'The state belongs to another engine.');
    const results: Record<string, Tensor>[] = [];
    for (const { tensors = {}, inputs = {}, outputs = {} } of runs) {
      throwIfAborted(options.signal);
      if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
      const feeds = prepareFeeds(this.graph, tensors, this.#parameters, { state, names: inputs });
      const wanted = unboundOutputs(this.graph, state, outputs);
      for (const { name, value } of [...this.graph.inputs, ...this.graph.parameters]) {
        const place = inputs[name];
        if (place === undefined) continue;
        feeds[name] = state.view(place, value.shape.length);
      }
      const made = await this.#run(feeds, [...wanted, ...Object.keys(outputs)], options.signal);
      for (const [output, place] of Object.entries(outputs))
        state.view(place, made[output]?.shape.length ?? 0).data.set(made[output]?.data as never);
      results.push(Object.fromEntries(wanted.map((name) => [name, made[name] as Tensor])));
    }
    return results;
  }

  #run(feeds: Tensors, outputs: readonly string[], signal: AbortSignal | undefined): Promise<Record<string, Tensor>> {
    return this.#turns.take(async () => {
      throwIfAborted(signal);
      try {
        const tensors = Object.fromEntries(
          Object.entries(feeds).map(([name, value]) => [name, toOrt(this.#runtime.Tensor, value)]),
        );
        const results = await this.#session.run(tensors, [...outputs]);
        return Object.fromEntries(
          outputs.map((name) => {
            const value = results[name];
            if (!value) throw new Error(`the runtime returned no ${name}`);
            return [name, fromOrt(value)];
          }),
        );
      } catch (error) {
        throw failure(error);
      }
    });
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#turns.take(() => this.#session.release());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

class WebEngine implements Engine {
  readonly provider: 'wasm' | 'webgpu';
  readonly limits: EngineLimits;
  readonly #runtime: Runtime;
  readonly #halveAbove: number;
  readonly #turns = new Turns();
  readonly #programs = new Set<Program>();
  #fusedAttention: Promise<boolean> | undefined;

  constructor(provider: 'wasm' | 'webgpu', runtime: Runtime, halveAbove = 2e9) {
    this.provider = provider;
    this.limits = { latentPositions: provider === 'wasm' ? wasmLatentPositions : Number.POSITIVE_INFINITY };
    this.#runtime = runtime;
    this.#halveAbove = halveAbove;
  }

  /** Whether the weights are kept as float16. Throws `too-large` before any is read. */
  #isHalved(wanted: readonly NamedValue[], weights: WeightSource, precision: Precision): boolean {
    if (this.provider !== 'wasm') return false;
    const count = wanted.reduce((sum, { value }) => sum + elementCount(value.shape as readonly number[]), 0);
    const halved = precision.storage === 'float32' && 4 * count > this.#halveAbove;
    const bytes = count * (halved || precision.storage === 'float16' ? 2 : 4);
    if (bytes <= mostWasmWeights) return halved;
    throw new StableDiffusionError(
      'too-large',
      `A network of ${weights.label} has ${(bytes / 1e9).toFixed(1)} GB of weights; WebAssembly has 4 GB in all. Use WebGPU, or a server.`,
    );
  }

  async compile(graph: Graph, weights: WeightSource, options: CompileOptions = {}): Promise<Program> {
    if (this.provider !== 'webgpu' || !hasAttention(graph)) return this.#compile(graph, weights, options, true);
    throwIfAborted(options.signal);
    this.#fusedAttention ??= fusedAttentionWorks((small) => this.#compile(small, weights, {}, true));
    return this.#compile(graph, weights, options, await this.#fusedAttention);
  }

  async #compile(
    graph: Graph,
    weights: WeightSource,
    options: CompileOptions,
    fusedAttention: boolean,
  ): Promise<Program> {
    throwIfAborted(options.signal);
    const precision = precisionOf(options.precision);
    const given = givenParameters(graph, options.parameters);
    const fixed = options.parameters !== 'inputs';
    const wanted = graph.parameters.filter(({ name }) => fixed && !given.has(name));
    const halved = this.#isHalved(wanted, weights, precision);
    const plan = fixed
      ? planWeights({ ...graph, parameters: wanted }, weights, {
          precision: halved ? { ...precision, storage: 'float16' } : precision,
          inPlace: false,
        })
      : undefined;
    const model = emitOnnx(graph, {
      compute: precision.compute,
      fusedAttention,
      convertInRuns: halved,
      ...(plan ? { parameters: plan.storage, given } : {}),
      ...(this.provider === 'wasm' ? { widestFusedHead } : {}),
    });
    const externalData: WeightBuffer[] = [];
    for await (const buffer of readBuffers(plan?.buffered ?? [], weights, options.signal)) {
      externalData.push(buffer);
      options.onProgress?.(externalData.length / (plan?.buffered.length ?? 1));
    }
    throwIfAborted(options.signal);
    const session = await this.#turns.take(async () => {
      try {
        return await this.#runtime.InferenceSession.create(model, {
          executionProviders: [this.provider],
          graphOptimizationLevel: 'all',
          logSeverityLevel: 3,
          ...(externalData.length > 0 ? { externalData } : {}),
        });
      } catch (error) {
        throw failure(error);
      }
    });
    const program = new WebProgram(graph, session, this.#runtime, this.#turns, options.parameters ?? 'fixed');
    this.#programs.add(program);
    return program;
  }

  createState(): EngineState {
    return new WebState();
  }

  async dispose(): Promise<void> {
    await Promise.all([...this.#programs].map((program) => program.dispose()));
    this.#programs.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/**
 * Starts an engine in a browser, in a page or a worker.
 * @throws `engine-unavailable` if WebGPU is asked for and the browser has none
 */
export async function createWebEngine(options: WebEngineOptions = {}): Promise<Engine> {
  const provider = options.provider ?? 'wasm';
  if (provider === 'webgpu') {
    // Browsers without WebGPU have no navigator.gpu, whatever the types say.
    const gpu = (globalThis.navigator as { readonly gpu?: GPU } | undefined)?.gpu;
    const adapter = await gpu?.requestAdapter();
    if (!adapter) {
      throw new StableDiffusionError(
        'engine-unavailable',
        "This browser offers no WebGPU adapter. Use the 'wasm' provider, or a browser and graphics driver with WebGPU.",
      );
    }
  }
  return new WebEngine(provider, await loadRuntime(options), options.halveAbove);
}
