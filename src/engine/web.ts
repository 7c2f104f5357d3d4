/**
 * The engine in browsers: onnxruntime-web, on WASM (threads where the page is cross-origin isolated) or WebGPU.
 *
 * ONNX Runtime computes on the thread that calls it; a page keeps its own thread free by using the library in a worker.
 */

import { demand } from '../arguments.ts';
import { checkOptions } from '../config/known-options.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import type { Graph, NamedValue } from '../graph/graph.ts';
import { emitOnnx } from '../onnx/emit.ts';
import { byteSize } from '../tensor/dtype.ts';
import { elementCount } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { fusedAttentionWorks, hasAttention } from './attention-check.ts';
import type { CompileOptions, Engine, EngineLimits, EngineState, Program } from './engine.ts';
import { givenParameters } from './feeds.ts';
import { type Precision, precisionOf } from './precision.ts';
import { WebProgram } from './program-web.ts';
import { loadRuntime, type Runtime, Turns, webFailure } from './runtime-web.ts';
import { WebState } from './state-web.ts';
import { prepared } from './quantised.ts';
import { planWeights, readBuffers, type WeightBuffer } from './weights.ts';

export interface WebEngineOptions {
  /** Default 'wasm'. */
  readonly provider?: 'wasm' | 'webgpu';
  /** Address of the runtime's .wasm and .mjs files, ending in '/'. Default: next to the script. */
  readonly wasmPath?: string;
  /**
   * Bytes of a network's float32 weights beyond which WASM, which has 4 GiB in all, keeps them as float16 and converts them in each run.
   * Default 2e9: the UNet of Stable Diffusion, and no smaller network.
   */
  readonly halveAbove?: number;
  /** Threads of the WASM provider; by default the runtime's choice. More than one needs a cross-origin isolated page. */
  readonly threads?: number;
}

/** The one head of an autoencoder overflows in ONNX Runtime's kernel on pictures of 512 x 512. */
const widestFusedHead = 64;

/** Limit of the weights within WASM's 4 GiB, to leave memory for computing. */
const mostWasmWeights = 3e9;

/**
 * Positions of all latents in one run of the UNet on WASM: those of one picture of 512 x 512 pixels. With Stable Diffusion's weights its
 * 4 GiB hold no more.
 */
const wasmLatentPositions = 64 * 64;

/** An engine on onnxruntime-web, which `load` gives once. */
export class WebEngine implements Engine {
  readonly provider: 'wasm' | 'webgpu';
  readonly limits: EngineLimits;
  readonly #load: () => Promise<Runtime>;
  #loaded: Promise<Runtime> | undefined;
  readonly #halveAbove: number;
  readonly #turns = new Turns();
  readonly #programs = new Set<Program>();
  #fusedAttention: Promise<boolean> | undefined;

  constructor(provider: 'wasm' | 'webgpu', load: () => Promise<Runtime>, halveAbove = 2e9) {
    this.provider = provider;
    this.limits = { latentPositions: provider === 'wasm' ? wasmLatentPositions : Number.POSITIVE_INFINITY };
    this.#load = load;
    this.#halveAbove = halveAbove;
  }

  /** True if weights are stored as float16. Throws `too-large` before any weight is read. */
  #isHalved(wanted: readonly NamedValue[], weights: WeightSource, precision: Precision): boolean {
    if (this.provider !== 'wasm') return false;
    const bytesOf = (float: number): number =>
      wanted.reduce((sum, { value: { dtype, shape } }) => {
        const size = dtype === 'float32' ? float : byteSize(dtype);
        return sum + size * elementCount(shape as readonly number[]);
      }, 0);
    const halved = precision.storage === 'float32' && bytesOf(4) > this.#halveAbove;
    const bytes = bytesOf(halved || precision.storage === 'float16' ? 2 : 4);
    if (bytes <= mostWasmWeights) return halved;
    throw new StableDiffusionError(
      'too-large',
      `A network of ${weights.label} has ${(bytes / 1e9).toFixed(1)} GB of weights; WebAssembly has 4 GB in all. Use WebGPU, or a server.`,
    );
  }

  async compile(given: Graph, source: WeightSource, options: CompileOptions = {}): Promise<Program> {
    const { graph, weights } = await prepared(this.provider, given, source, options);
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
    this.#loaded ??= this.#load();
    const runtime = await this.#loaded;
    const session = await this.#turns.take(async () => {
      try {
        return await runtime.InferenceSession.create(model, {
          executionProviders: [this.provider],
          graphOptimizationLevel: 'all',
          logSeverityLevel: 3,
          ...(externalData.length > 0 ? { externalData } : {}),
        });
      } catch (error) {
        throw webFailure(error);
      }
    });
    const program = new WebProgram(graph, session, runtime, this.#turns, options.parameters ?? 'fixed');
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
 * @throws `engine-unavailable` if WebGPU is requested and unavailable
 */
export async function createWebEngine(options: WebEngineOptions = {}): Promise<Engine> {
  checkOptions(options, { provider: true, wasmPath: true, halveAbove: true, threads: true }, 'createWebEngine');
  const provider = options.provider ?? 'wasm';
  demand(provider === 'wasm' || provider === 'webgpu', 'The provider of an engine', 'wasm or webgpu', provider);
  if (provider === 'webgpu') {
    // Browsers without WebGPU have no navigator.gpu, despite the types.
    const gpu = (globalThis.navigator as { readonly gpu?: GPU } | undefined)?.gpu;
    const adapter = await gpu?.requestAdapter();
    if (!adapter) {
      throw new StableDiffusionError(
        'engine-unavailable',
        "This browser offers no WebGPU adapter. Use the 'wasm' provider, or a browser and graphics driver with WebGPU.",
      );
    }
  }
  const runtime = await loadRuntime(options);
  return new WebEngine(provider, async () => runtime, options.halveAbove);
}
