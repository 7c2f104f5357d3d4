/** The engine in Node: onnxruntime-node in a worker thread. Providers: CPU, WebGPU (Dawn) and CUDA where the machine has them. */

import { demand } from '../arguments.ts';
import { checkOptions, type OptionNames } from '../config/known-options.ts';
import { throwIfAborted } from '../errors.ts';
import { checkUnchanged } from '../files/open-node.ts';
import type { Graph } from '../graph/graph.ts';
import { emitOnnx } from '../onnx/emit.ts';
import type { EmitOptions } from '../onnx/emitter.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { fusedAttentionWorks, hasAttention } from './attention-check.ts';
import type { CompileOptions, Engine, EngineLimits, EngineState, Program } from './engine.ts';
import { freeMemory } from './free-memory-node.ts';
import { givenParameters } from './feeds.ts';
import { blockFrom, blockProbe, probeInput } from './image-block.ts';
import type { SessionSettings } from './node-protocol.ts';
import { precisionOf } from './precision.ts';
import { NodeProgram } from './program-node.ts';
import { orAborted, RuntimeThread } from './runtime-thread-node.ts';
import { planSegments, readSegments, type SegmentPlan } from './segments-node.ts';
import { NodeState } from './state-node.ts';
import type { PreparedOptions, PreparedWeights } from './prepared-weights-node.ts';
import { type Prepared, prepared } from './quantised.ts';
import { createWasmEngine, nativeRuntimeFault } from './wasm-node.ts';
import { planWeights, type WeightPlan } from './weights.ts';

export interface NodeEngineOptions {
  /** Default 'cpu'. 'wasm' needs no native library; it also stands in for 'cpu' where ONNX Runtime has none for this machine. */
  readonly provider?: 'cpu' | 'webgpu' | 'cuda' | 'wasm';
  /** Threads within one operation; by default as many as the machine has cores. */
  readonly threads?: number;
  /** Compute below the priority of the process's other threads, so that a server answers at once while it computes. On Linux; elsewhere priorities are whole processes'. */
  readonly background?: boolean;
  /** Networks with more bytes of weights that must be converted, or pass through buffers, are packed in segments to save memory. Default 512 MiB. */
  readonly packAtOnce?: number;
  /** Pass such weights to the runtime in in-memory files (/dev/shm on Linux) if there is room, which is faster and uses less memory. Default true. */
  readonly memoryFiles?: boolean;
  /** Where weights of programs in int8 are kept from one process to the next; false keeps none. Default: by `SD_CACHE` and `SD_CACHE_LIMIT`, in the user's cache folder. */
  readonly prepared?: PreparedOptions | false | undefined;
}

/** The sources of a program's segments. */
interface SegmentWork {
  readonly plan: WeightPlan;
  readonly weights: WeightSource;
  readonly options: CompileOptions;
  readonly form: EmitOptions;
  readonly settings: Omit<SessionSettings, 'folder' | 'segments'>;
}

const optionNames: OptionNames<NodeEngineOptions> = {
  provider: true,
  threads: true,
  background: true,
  packAtOnce: true,
  memoryFiles: true,
  prepared: true,
};

type NativeProvider = 'cpu' | 'webgpu' | 'cuda';

class NodeEngine implements Engine {
  readonly provider: NativeProvider;
  readonly limits: EngineLimits;
  readonly #threads: number;
  readonly #packAtOnce: number;
  readonly #memoryFiles: boolean;
  readonly #thread: RuntimeThread;
  readonly #preparedOptions: PreparedOptions | false;
  #prepared: Promise<PreparedWeights> | undefined;
  #nextProgram = 0;
  #nextState = 0;
  #fusedAttention: Promise<boolean> | undefined;
  #imageBlock: Promise<number | undefined> | undefined;
  #largestWeight: Promise<number> | undefined;

  constructor(options: NodeEngineOptions & { readonly provider: NativeProvider }) {
    this.provider = options.provider;
    // A graphics card has memory of its own.
    const availableMemory = this.provider === 'cpu' ? freeMemory : undefined;
    this.limits = { latentPositions: Number.POSITIVE_INFINITY, availableMemory };
    this.#thread = new RuntimeThread({ background: options.background ?? false });
    this.#threads = options.threads ?? 0;
    this.#packAtOnce = options.packAtOnce ?? 2 ** 29;
    this.#preparedOptions = options.prepared ?? {};
    this.#memoryFiles = (options.memoryFiles ?? true) && this.provider === 'cpu';
  }

  async compile(given: Graph, source: WeightSource, options: CompileOptions = {}): Promise<Program> {
    const made = await prepared(this.provider, given, source, options, () => this.#findLargestWeight());
    const { graph, weights } = made;
    if (made.isQuantised) return this.#compileInt8(given, source, made, options);
    if (this.provider !== 'webgpu' || !hasAttention(graph)) return this.#compile(graph, weights, options, true);
    throwIfAborted(options.signal);
    this.#fusedAttention ??= fusedAttentionWorks((small) => this.#compile(small, weights, {}, true));
    return this.#compile(graph, weights, options, await this.#fusedAttention);
  }

  #findLargestWeight(): Promise<number> {
    this.#largestWeight ??= import('./int8-check.ts').then(({ largestWeight }) =>
      largestWeight((graph, weights) => this.#compile(graph, weights, {}, true)),
    );
    return this.#largestWeight;
  }

  async #compileInt8(given: Graph, source: WeightSource, made: Prepared, options: CompileOptions): Promise<Program> {
    const compile = (weights: WeightSource): Promise<Program> => this.#compile(made.graph, weights, options, true);
    const keeping = this.#preparedOptions;
    if (keeping === false) return compile(made.weights);
    this.#prepared ??= import('./prepared-weights-node.ts').then(({ PreparedWeights: Kept }) => new Kept(keeping));
    return (await this.#prepared).compile(given, source, made, { options, compile });
  }

  /** The size of blocks of channels, where this engine's provider has direct convolutions. */
  async #findImageBlock(): Promise<number | undefined> {
    if (this.provider !== 'cpu') return undefined;
    const program = this.#nextProgram++;
    try {
      await this.#thread.call({
        kind: 'compile',
        program,
        model: blockProbe(),
        settings: { provider: 'cpu', threads: 1, optimisation: 'all', folder: undefined, segments: 'one' },
      });
      const [result] = await this.#thread.call({
        kind: 'run',
        program,
        feeds: { x: probeInput() },
        outputs: ['y'],
        crossings: [],
        cancel: new Int32Array(new SharedArrayBuffer(4)),
      });
      await this.#thread.call({ kind: 'dispose', program });
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
    const given = givenParameters(graph, options.parameters);
    if (given.size > 0) this.#imageBlock ??= this.#findImageBlock();
    const imageBlock = given.size > 0 ? await this.#imageBlock : undefined;
    // Programs that run on a state have no weights of their own, or some are given.
    const endMark = this.provider === 'cpu' && (given.size > 0 || graph.parameters.length === 0);
    const form = { compute: precision.compute, fusedAttention, endMark, imageBlock, given };
    const program = this.#nextProgram++;
    const stored = graph.parameters.filter(({ name }) => !given.has(name));
    // What the runtime makes faster beyond 'basic' needs weights that are built in; to look for it takes a third of its time to load.
    const optimisation = this.provider === 'cpu' && stored.length === 0 ? 'basic' : 'all';
    const settings = { provider: this.provider, threads: this.#threads, optimisation } as const;
    if (options.parameters === 'inputs') {
      await this.#thread.call({
        kind: 'compile',
        program,
        model: emitOnnx(graph, form),
        settings: { ...settings, folder: undefined, segments: 'one' },
      });
      return new NodeProgram(graph, this.#thread, program, 'inputs');
    }
    const plan = planWeights({ ...graph, parameters: stored }, weights, { precision, inPlace: true });
    await this.#checkFiles(plan);
    const segments = planSegments(graph, plan, {
      packAtOnce: this.#packAtOnce,
      memoryFiles: this.#memoryFiles,
      whole: given.size > 0,
    });
    try {
      await this.#compileSegments(program, segments, { plan, weights, options, form, settings });
      // The runtime read the files by their paths.
      await this.#checkFiles(plan);
    } catch (error) {
      await this.#thread.call({ kind: 'dispose', program }).catch(() => {});
      throw error;
    } finally {
      segments.memory?.dispose();
    }
    return new NodeProgram(graph, this.#thread, program, options.parameters, segments.segments);
  }

  /** Throws `file-access` where a file used in place is not the one that was opened. */
  async #checkFiles({ files }: WeightPlan): Promise<void> {
    for (const [path, identity] of files) await checkUnchanged(path, identity);
  }

  async #compileSegments(program: number, planned: SegmentPlan, work: SegmentWork): Promise<void> {
    const { plan, weights, options, form, settings } = work;
    const { segments, memory, ahead } = planned;
    const count = segments.length === 1 && options.keepsMemory !== false ? 'one' : memory ? 'few' : 'many';
    let compiled: Promise<unknown> = Promise.resolve();
    for await (const { segment, buffers, file } of readSegments(planned, plan, weights, options)) {
      await orAborted(compiled, options.signal);
      for (const buffer of buffers)
        void this.#thread.call({ kind: 'weights', program, buffer }, [buffer.data.buffer as ArrayBuffer]);
      const model = emitOnnx(segment, { ...form, parameters: file?.storage ?? plan.storage });
      compiled = this.#thread
        .call({
          kind: 'compile',
          program,
          model,
          settings: { ...settings, folder: memory?.path ?? plan.folder, segments: count },
        })
        .finally(() => file?.remove());
      compiled.catch(() => {}); // Awaited before the next segment and at the end.
      if (!ahead) await orAborted(compiled, options.signal);
    }
    await orAborted(compiled, options.signal);
  }

  createState(): EngineState {
    return new NodeState(this.#thread, this.#nextState++);
  }

  async dispose(): Promise<void> {
    await this.#thread.stop();
    await (await this.#prepared)?.settle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

/** Starts an engine in Node. Stop it with `dispose`; an idle one does not keep the process alive. */
export function createNodeEngine(options: NodeEngineOptions = {}): Engine {
  checkOptions(options, optionNames, 'createNodeEngine');
  const { provider = 'cpu', threads } = options;
  demand(
    ['cpu', 'webgpu', 'cuda', 'wasm'].includes(provider),
    'The provider of an engine',
    'cpu, webgpu, cuda or wasm',
    provider,
  );
  demand(
    threads === undefined || (Number.isInteger(threads) && threads >= 0),
    'The number of threads',
    'a whole number',
    threads,
  );
  if (provider === 'wasm' || (provider === 'cpu' && nativeRuntimeFault() !== undefined))
    return createWasmEngine(options);
  return new NodeEngine({ ...options, provider });
}
