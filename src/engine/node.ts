/** The engine in Node: onnxruntime-node in a worker thread. Providers: CPU, WebGPU (Dawn) and CUDA where the machine has them. */

import { Worker } from 'node:worker_threads';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import { partition } from '../graph/partition.ts';
import { emitOnnx } from '../onnx/emit.ts';
import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { fusedAttentionWorks, hasAttention } from './attention-check.ts';
import type {
  BoundOptions,
  BoundRun,
  CompileOptions,
  Engine,
  EngineState,
  Program,
  RunOptions,
  Tensors,
} from './engine.ts';
import { crossingsOf, crossingValues } from './crossing.ts';
import {
  checkStateWrite,
  givenParameters,
  placeOf,
  planPack,
  prepareFeeds,
  unboundOutputs,
  wantedOutputs,
} from './feeds.ts';
import { blockFrom, blockProbe, probeInput } from './image-block.ts';
import { MemoryFolder, type MemoryFile } from './memory-folder-node.ts';
import type {
  BoundRequest,
  Request,
  ResponseMessage,
  SessionSettings,
  WantedOutput,
  WorkerOptions,
} from './node-protocol.ts';
import { precisionOf } from './precision.ts';
import { planWeights, readBuffers, wantedParameters, type WeightBuffer, type WeightPlan } from './weights.ts';

export interface NodeEngineOptions {
  /** Default 'cpu'. */
  readonly provider?: 'cpu' | 'webgpu' | 'cuda';
  /** Threads within one operation; by default as many as the machine has cores. */
  readonly threads?: number;
  /** Compute below the priority of the process's other threads, so that a server answers at once while it computes. On Linux; elsewhere priorities are whole processes'. */
  readonly background?: boolean;
  /** Networks with more bytes of weights that must be converted, or pass through buffers, are packed in segments to save memory. Default 512 MiB. */
  readonly packAtOnce?: number;
  /** Such weights go to the runtime in files in memory (/dev/shm on Linux), where there is room: faster, and in less memory. Default true. */
  readonly memoryFiles?: boolean;
}

/** The worker is a file of its own beside this one, under the name this one has: source or compiled. */
const workerFile = new URL(import.meta.url.endsWith('.ts') ? './node-worker.ts' : './node-worker.js', import.meta.url);

/**
 * Bytes of the next segment, where weights of `left` bytes are still to be packed.
 *
 * From files in memory the runtime takes each weight as it packs it: what is resident never exceeds the whole, once packed. Two segments:
 * each keeps working memory of its own, so that more of them would take more.
 */
const nextInMemory = (left: number, whole: number): number => Math.max(0.6 * left, 3 * whole);

/**
 * The same where weights pass through buffers or the runtime converts them: they are in memory two and a half times while their segment is
 * packed, so that a third of what is left stays below the whole, once packed. The last segments are small: they fill what copies before left free.
 */
const nextThroughBuffers = (left: number, whole: number): number => Math.max(left / 3, whole / 16);

interface Pending {
  readonly resolve: (results: readonly Record<string, Tensor>[]) => void;
  readonly reject: (error: Error) => void;
}

/** What the runtime says when a provider's libraries or its device are not there. */
const providerMissing =
  /get a WebGPU adapter|No supported adapters|load shared library|onnxruntime_providers_|backend not found/i;

function runtimeError(message: string): StableDiffusionError {
  if (!providerMissing.test(message))
    return new StableDiffusionError('engine-failed', `ONNX Runtime failed: ${message}`);
  const needs = /cuda/i.test(message)
    ? "CUDA needs an NVIDIA GPU with its driver, CUDA 12, cuDNN 9, and ONNX Runtime's libraries for it (npm install onnxruntime-node --onnxruntime-node-install=cuda12)"
    : 'WebGPU needs a graphics driver: on Linux the Vulkan loader (libvulkan.so.1) and a Vulkan driver that Dawn accepts';
  return new StableDiffusionError(
    'engine-unavailable',
    `This machine lacks what the provider needs. ${needs}. Install that, or compute on the CPU. ONNX Runtime says: ${message}`,
  );
}

/** The worker thread, seen as a function from requests to responses. */
class Runtime {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 0;
  #ended: Error | undefined;

  constructor(options: WorkerOptions) {
    this.#worker = new Worker(workerFile, { workerData: options });
    this.#worker.unref();
    this.#worker.on('message', (message: ResponseMessage) => {
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if (this.#pending.size === 0) this.#worker.unref();
      if ('error' in message) pending?.reject(runtimeError(message.error));
      else pending?.resolve(message.results);
    });
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', (code) => this.#end(new Error(`the worker thread ended with code ${code}`)));
  }

  #end(cause: unknown): void {
    this.#ended = new StableDiffusionError(
      'engine-failed',
      `The engine stopped: ${cause instanceof Error ? cause.message : String(cause)}.`,
      { cause },
    );
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
  }

  /** Sends a request. The process stays alive until the answer is here. */
  call(request: Request, transfer: ArrayBuffer[] = []): Promise<readonly Record<string, Tensor>[]> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, request }, transfer);
    });
  }

  /** Ends the thread between two requests: in the middle of native code it would take the process with it. */
  async stop(): Promise<void> {
    await this.call({ kind: 'end' }).catch(() => {});
    await this.#worker.terminate();
  }
}

/** Settles as `work` does, or as soon as the signal fires; then `cancel` tells the worker, whose kernel goes on to its end. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined, cancel?: Int32Array): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      if (cancel) Atomics.store(cancel, 0, 1);
      reject(new StableDiffusionError('aborted', 'The work was cancelled.', { cause: signal.reason }));
    };
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

/** Tensors in the worker. What is known here are their names, types and shapes. */
class NodeState implements EngineState {
  readonly entries = new Map<string, { readonly dtype: DType; readonly shape: Shape }>();
  readonly id: number;
  readonly #runtime: Runtime;
  readonly #packed = new Set<string>();

  constructor(runtime: Runtime, id: number) {
    this.#runtime = runtime;
    this.id = id;
  }

  async read(names: readonly string[] = [...this.entries.keys()]): Promise<Record<string, Tensor>> {
    const [tensors] = await this.#runtime.call({ kind: 'read-state', state: this.id, names });
    return tensors ?? {};
  }

  async write(tensors: Tensors): Promise<void> {
    checkStateWrite(this.entries, tensors);
    const copies = Object.fromEntries(
      Object.entries(tensors).map(([name, value]) => [name, { ...value, data: value.data.slice() } as Tensor]),
    );
    await this.#runtime.call(
      { kind: 'write-state', state: this.id, tensors: copies },
      Object.values(copies).map(({ data }) => data.buffer as ArrayBuffer),
    );
    for (const [name, { dtype, shape }] of Object.entries(tensors)) this.entries.set(name, { dtype, shape });
  }

  async pack(pack: string, members: Readonly<Record<string, Shape>>): Promise<void> {
    const { starts, length } = planPack(this.entries, this.#packed, pack, members);
    const list = Object.entries(members).map(([name, shape]) => ({ name, shape, start: starts.get(name) ?? 0 }));
    await this.#runtime.call({ kind: 'pack-state', state: this.id, pack, length, members: list });
    this.entries.set(pack, { dtype: 'float32', shape: [length] });
    for (const { name, shape } of list) {
      this.entries.set(name, { dtype: 'float32', shape });
      this.#packed.add(name);
    }
  }

  async dispose(): Promise<void> {
    this.entries.clear();
    await this.#runtime.call({ kind: 'dispose-state', state: this.id });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

class NodeProgram implements Program {
  readonly graph: Graph;
  readonly #runtime: Runtime;
  readonly #id: number;
  readonly #parameters: CompileOptions['parameters'];
  readonly #crossing: readonly NamedValue[];
  #disposed: Promise<unknown> | undefined;

  constructor(
    graph: Graph,
    runtime: Runtime,
    id: number,
    parameters: CompileOptions['parameters'],
    segments: readonly Graph[] = [graph],
  ) {
    this.graph = graph;
    this.#runtime = runtime;
    this.#id = id;
    this.#parameters = parameters;
    this.#crossing = crossingValues(graph, segments);
  }

  async run(inputs: Tensors, options: RunOptions = {}): Promise<Record<string, Tensor>> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    const outputs = wantedOutputs(this.graph, options.outputs);
    const feeds = prepareFeeds(this.graph, inputs, this.#parameters);
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    const crossings = crossingsOf(this.graph, this.#crossing, feeds);
    const [results] = await orAborted(
      this.#runtime.call({ kind: 'run', program: this.#id, feeds, outputs, crossings, cancel }),
      options.signal,
      cancel,
    );
    return results ?? {};
  }

  async runBound(
    state: EngineState,
    runs: readonly BoundRun[],
    options: BoundOptions = {},
  ): Promise<Record<string, Tensor>[]> {
    throwIfAborted(options.signal);
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The program has been disposed of.');
    if (!(state instanceof NodeState))
      throw new StableDiffusionError('invalid-argument', 'The state belongs to another engine.');
    const ranks = new Map(
      [...this.graph.inputs, ...this.graph.parameters, ...this.graph.outputs].map(({ name, value }) => [
        name,
        value.shape.length,
      ]),
    );
    const requests = runs.map(({ tensors = {}, inputs = {}, outputs = {} }): BoundRequest => {
      const feeds = prepareFeeds(this.graph, tensors, this.#parameters, { state, names: inputs });
      return {
        feeds,
        wanted: this.#wanted(unboundOutputs(this.graph, state, outputs)),
        inputs: Object.entries(inputs).map(([input, bound]) => [input, placeOf(state, bound, ranks.get(input) ?? 0)]),
        outputs: Object.entries(outputs).map(([output, bound]) => [
          output,
          placeOf(state, bound, ranks.get(output) ?? 0),
        ]),
      };
    });
    const cancel = new Int32Array(new SharedArrayBuffer(4));
    const request = {
      kind: 'run-bound',
      program: this.#id,
      state: state.id,
      runs: requests,
      inPlace: options.inPlace ?? false,
      cancel,
    } as const;
    return [...(await orAborted(this.#runtime.call(request), options.signal, cancel))];
  }

  #wanted(names: readonly string[]): WantedOutput[] {
    return this.graph.outputs.flatMap(({ name, value: { dtype, shape } }) => {
      if (!names.includes(name)) return [];
      return [{ name, dtype, ...(shape.every((size) => typeof size === 'number') ? { shape } : {}) }];
    });
  }

  async dispose(): Promise<void> {
    this.#disposed ??= this.#runtime.call({ kind: 'dispose', program: this.#id });
    await this.#disposed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

class NodeEngine implements Engine {
  readonly provider: 'cpu' | 'webgpu' | 'cuda';
  readonly limits = { latentPositions: Number.POSITIVE_INFINITY };
  readonly #threads: number;
  readonly #packAtOnce: number;
  readonly #memoryFiles: boolean;
  readonly #runtime: Runtime;
  #nextProgram = 0;
  #nextState = 0;
  #fusedAttention: Promise<boolean> | undefined;
  #imageBlock: Promise<number | undefined> | undefined;

  constructor(options: NodeEngineOptions) {
    this.provider = options.provider ?? 'cpu';
    this.#runtime = new Runtime({ background: options.background ?? false });
    this.#threads = options.threads ?? 0;
    this.#packAtOnce = options.packAtOnce ?? 2 ** 29;
    this.#memoryFiles = (options.memoryFiles ?? true) && this.provider === 'cpu';
  }

  async compile(graph: Graph, weights: WeightSource, options: CompileOptions = {}): Promise<Program> {
    if (this.provider !== 'webgpu' || !hasAttention(graph)) return this.#compile(graph, weights, options, true);
    throwIfAborted(options.signal);
    this.#fusedAttention ??= fusedAttentionWorks((small) => this.#compile(small, weights, {}, true));
    return this.#compile(graph, weights, options, await this.#fusedAttention);
  }

  /** The size of blocks of channels, where this engine's provider has direct convolutions. */
  async #findImageBlock(): Promise<number | undefined> {
    if (this.provider !== 'cpu') return undefined;
    const program = this.#nextProgram++;
    try {
      await this.#runtime.call({
        kind: 'compile',
        program,
        model: blockProbe(),
        settings: { provider: 'cpu', threads: 1, folder: undefined, segments: 'one', givenWeights: false },
      });
      const [result] = await this.#runtime.call({
        kind: 'run',
        program,
        feeds: { x: probeInput() },
        outputs: ['y'],
        crossings: [],
        cancel: new Int32Array(new SharedArrayBuffer(4)),
      });
      await this.#runtime.call({ kind: 'dispose', program });
      return blockFrom(result?.['y']);
    } catch {
      return undefined; // A runtime without them.
    }
  }

  async #compile(
    graph: Graph,
    weights: WeightSource,
    options: CompileOptions,
    fusedAttention: boolean,
  ): Promise<Program> {
    throwIfAborted(options.signal);
    const precision = precisionOf(options.precision);
    const program = this.#nextProgram++;
    const given = givenParameters(graph, options.parameters);
    const settings = (folder?: string, segments: SessionSettings['segments'] = 'one'): SessionSettings => ({
      provider: this.provider,
      threads: this.#threads,
      folder,
      segments,
      givenWeights: given.size > 0,
    });
    if (given.size > 0) this.#imageBlock ??= this.#findImageBlock();
    const imageBlock = given.size > 0 ? await this.#imageBlock : undefined;
    // Programs that run on a state have no weights of their own, or some are given.
    const endMark = this.provider === 'cpu' && (given.size > 0 || graph.parameters.length === 0);
    const form = { compute: precision.compute, fusedAttention, endMark, imageBlock };
    if (options.parameters === 'inputs') {
      await this.#runtime.call({ kind: 'compile', program, model: emitOnnx(graph, form), settings: settings() });
      return new NodeProgram(graph, this.#runtime, program, 'inputs');
    }
    const plan = planWeights(
      { ...graph, parameters: graph.parameters.filter(({ name }) => !given.has(name)) },
      weights,
      { precision, inPlace: true },
    );
    const copied = [...plan.copied.values()].reduce((sum, bytes) => sum + bytes, 0);
    // A program on a state is one segment: its outputs are written where they stay.
    const whole = given.size > 0 || copied <= this.#packAtOnce;
    const memory = whole || !this.#memoryFiles ? undefined : MemoryFolder.make(copied);
    const next = memory ? nextInMemory : nextThroughBuffers;
    const segments = whole
      ? [graph]
      : partition(
          graph,
          (left) => next(left, this.#packAtOnce),
          ({ name }) => plan.copied.get(name) ?? 0,
        );
    // The next segment's weights are read while the worker packs those of the one before: of files, where the machine has memory to spare.
    const ahead = process.availableMemory() > 2 * copied;
    let compiled: Promise<unknown> = Promise.resolve();
    try {
      for await (const { segment, buffers, file } of this.#read(segments, plan, weights, options, memory)) {
        await orAborted(compiled, options.signal);
        for (const buffer of buffers)
          void this.#runtime.call({ kind: 'weights', program, buffer }, [buffer.data.buffer as ArrayBuffer]);
        const model = emitOnnx(segment, { ...form, parameters: file?.storage ?? plan.storage, given });
        compiled = this.#runtime
          .call({
            kind: 'compile',
            program,
            model,
            settings: settings(memory?.path ?? plan.folder, segments.length === 1 ? 'one' : memory ? 'few' : 'many'),
          })
          .finally(() => file?.remove());
        compiled.catch(() => {}); // Looked at before the next segment and at the end.
        if (memory && !ahead) await orAborted(compiled, options.signal);
      }
      await orAborted(compiled, options.signal);
    } catch (error) {
      await this.#runtime.call({ kind: 'dispose', program }).catch(() => {});
      throw error;
    } finally {
      memory?.dispose();
    }
    return new NodeProgram(graph, this.#runtime, program, options.parameters, segments);
  }

  /** Each segment with its weights, read as they are asked for: into a file in memory where there is a folder for them, else into buffers what is not used in place. */
  async *#read(
    segments: readonly Graph[],
    plan: WeightPlan,
    weights: WeightSource,
    options: CompileOptions,
    memory: MemoryFolder | undefined,
  ): AsyncGenerator<{ segment: Graph; buffers: WeightBuffer[]; file?: MemoryFile }> {
    const total = memory ? segments.length : plan.buffered.length;
    let done = 0;
    const progress = (): void => options.onProgress?.(Math.min(1, ++done / total));
    for (const segment of segments) {
      if (memory) {
        const file = await memory.write(
          wantedParameters(segment, precisionOf(options.precision)),
          weights,
          options.signal,
        );
        progress();
        yield { segment, buffers: [], file };
        continue;
      }
      const names = new Set(segment.parameters.map(({ name }) => name));
      const buffers: WeightBuffer[] = [];
      for await (const buffer of readBuffers(
        plan.buffered.filter(({ name }) => names.has(name)),
        weights,
        options.signal,
      )) {
        buffers.push(buffer);
        progress();
      }
      yield { segment, buffers };
    }
  }

  createState(): EngineState {
    return new NodeState(this.#runtime, this.#nextState++);
  }

  async dispose(): Promise<void> {
    await this.#runtime.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Starts an engine in Node. Stop it with `dispose`; an idle one does not keep the process alive. */
export function createNodeEngine(options: NodeEngineOptions = {}): Engine {
  return new NodeEngine(options);
}
