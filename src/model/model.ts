/**
 * Model: a checkpoint on an engine. Its networks as functions on tensors, compiled when first used; what pipelines are written over.
 */

import type { ClipTextConfig, NetworkConfig } from '../config/network-config.ts';
import type { DenoiserInputs } from '../diffusion/guidance.ts';
import { inBatchesOf } from '../diffusion/network-batches.ts';
import { type NoiseSchedule, noiseScheduleOf } from '../diffusion/noise-schedule.ts';
import type { Parameterization } from '../diffusion/parameterization.ts';
import type { Engine, Program } from '../engine/engine.ts';
import { checkSizes } from '../engine/feeds.ts';
import { StableDiffusionError } from '../errors.ts';
import { bindShape } from '../graph/dim.ts';
import type { Graph } from '../graph/graph.ts';
import { networkDefinition, networkParameters } from '../models/index.ts';
import { scale } from '../tensor/arithmetic.ts';
import { expectDType, float32, type Tensor, tensor } from '../tensor/tensor.ts';
import type { BertTokenizer } from '../tokenizer/bert-tokenizer.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import type { Checkpoint, CheckpointParts } from '../checkpoints/checkpoint.ts';
import { nativeLatentSize } from './native-size.ts';
import { assertMatch, compareParameters } from '../checkpoints/report.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface ModelOptions {
  readonly engine: Engine;
  readonly checkpoint: Checkpoint;
  /** For text encoders: what turns a prompt into ids. */
  readonly tokenizer?: ClipTokenizer | BertTokenizer;
  /** What was applied to the checkpoint, for records of pictures (`adapters.ts`). */
  readonly adapters?: readonly string[];
  /** A TAESD for previews: its configuration and weights under diffusers names. */
  readonly preview?: { readonly config: NetworkConfig; readonly weights: WeightSource };
  readonly precision?: 'float32' | 'float16';
  /** Close the checkpoint's files when the model is disposed of. Default true. */
  readonly ownsCheckpoint?: boolean;
  /** Stop the engine when the model is disposed of. Default false. */
  readonly ownsEngine?: boolean;
}

type Network = keyof CheckpointParts | 'preview';

export class Model implements AsyncDisposable {
  readonly checkpoint: Checkpoint;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly tokenizer: ClipTokenizer | BertTokenizer | undefined;
  readonly hasPreviewDecoder: boolean;
  /** LoRAs and embeddings in it, as records of pictures name them. */
  readonly adapters: readonly string[];
  readonly #options: ModelOptions;
  readonly #graphs = new Map<string, Graph>();
  readonly #programs = new Map<string, Promise<Program>>();
  #disposed = false;

  /** Checks names and shapes of all parameters. Throws `weights-mismatch`, naming all that differ. Reads no weights. */
  constructor(options: ModelOptions) {
    const { checkpoint } = options;
    this.#options = options;
    this.checkpoint = checkpoint;
    this.tokenizer = options.tokenizer;
    this.adapters = options.adapters ?? [];
    this.hasPreviewDecoder = options.preview !== undefined;
    const { config } = checkpoint;
    this.schedule = noiseScheduleOf(
      config.given_betas
        ? Float64Array.from(config.given_betas)
        : {
            betaSchedule: config.beta_schedule,
            timesteps: config.timesteps,
            linearStart: config.linear_start,
            linearEnd: config.linear_end,
            cosineS: config.cosine_s,
          },
    );
    this.parameterization = config.parameterization;
    for (const part of ['unet', 'first_stage', 'cond_stage', 'safety'] as const) {
      const network = this.networkConfig(part);
      const weights = this.#weights(part);
      if (network && weights) assertMatch(compareParameters(networkParameters(network), weights));
    }
  }

  /** Element type the networks compute in. */
  get precision(): 'float32' | 'float16' {
    return this.#options.precision ?? 'float32';
  }

  /** The configuration of one network, or undefined where the model has none. */
  networkConfig(part: Network): NetworkConfig | undefined {
    const { config, safety_config } = this.checkpoint;
    if (part === 'unet') return config.unet_config;
    if (part === 'first_stage') return config.first_stage_config;
    if (part === 'safety') return safety_config;
    if (part === 'preview') return this.#options.preview?.config;
    return typeof config.cond_stage_config === 'object' ? (config.cond_stage_config ?? undefined) : undefined;
  }

  #weights(part: Network): WeightSource | undefined {
    return part === 'preview' ? this.#options.preview?.weights : this.checkpoint.parts[part];
  }

  /** Pixels per latent element along each axis. */
  get downsampling(): number {
    const stage = this.checkpoint.config.first_stage_config;
    return stage.kind === 'kl' || stage.kind === 'vq' ? 2 ** (stage.ddconfig.ch_mult.length - 1) : 1;
  }

  /** Width and height of the latent must be multiples of this. */
  get latentUnit(): number {
    return 2 ** (this.checkpoint.config.unet_config.channel_mult.length - 1);
  }

  /** Channels of the latent, without those appended as a condition. */
  get latentChannels(): number {
    return this.checkpoint.config.unet_config.out_channels;
  }

  /** Side in pixels of the pictures the model was made for. Stable Diffusion v1's YAML says 256; it was fine-tuned on 512. */
  get nativeSize(): number {
    return nativeLatentSize(this.checkpoint.config) * this.downsampling;
  }

  /** The tokenizer of prompts that A1111's syntax can be used in: those of a CLIP text encoder whose output is the UNet's context. */
  get clipTokenizer(): ClipTokenizer | undefined {
    const { tokenizer } = this;
    if (
      this.networkConfig('cond_stage')?.kind !== 'clip_text' ||
      this.checkpoint.config.unet_config.num_classes !== null
    )
      return undefined;
    return tokenizer && 'profile' in tokenizer ? tokenizer : undefined;
  }

  /** One graph of a network, with those outputs; traced once. */
  #graph(part: Network, graph: string, outputs: readonly string[]): Graph {
    const key = `${part} ${graph} ${outputs.join()}`;
    const known = this.#graphs.get(key);
    if (known) return known;
    const config = this.networkConfig(part);
    const trace = config && networkDefinition(config).parts(config)[graph];
    if (!trace)
      throw new StableDiffusionError(
        'invalid-argument',
        `${this.checkpoint.label} has no ${part} with a graph ${graph}.`,
      );
    const traced = trace({ outputs });
    this.#graphs.set(key, traced);
    return traced;
  }

  /** The compiled program of one graph of a network; compiled once. */
  #program(
    part: Network,
    graph: string,
    outputs: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Program> {
    if (this.#disposed) throw new StableDiffusionError('invalid-argument', 'The model has been disposed of.');
    const key = `${part} ${graph} ${outputs.join()}`;
    const known = this.#programs.get(key);
    if (known) return known;
    const weights = this.#weights(part);
    if (!weights)
      throw new StableDiffusionError(
        'invalid-argument',
        `${this.checkpoint.label} has no weights of a ${part} network.`,
      );
    const { engine, precision } = this.#options;
    const program = engine.compile(this.#graph(part, graph, outputs), weights, {
      ...(precision ? { precision } : {}),
      ...(signal ? { signal } : {}),
    });
    this.#programs.set(key, program);
    program.catch(() => this.#programs.delete(key));
    return program;
  }

  async #run(
    part: Network,
    graph: string,
    inputs: Record<string, Tensor>,
    output: string,
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>> {
    const program = await this.#program(part, graph, [output], signal);
    const results = await program.run(inputs, signal ? { signal } : {});
    const result = results[output];
    if (!result) throw new StableDiffusionError('engine-failed', `The ${part} network returned no ${output}.`);
    return expectDType(result, 'float32', output);
  }

  /** Compiles the networks a text-to-image run needs, ahead of time. */
  async prepare(signal?: AbortSignal): Promise<void> {
    await this.#program('unet', 'forward', ['out'], signal);
  }

  /** Token ids of prompts, int64 [n, length]; longer ones are cut. */
  tokenize(prompts: readonly string[]): { readonly ids: Tensor<'int64'>; readonly truncated: readonly boolean[] } {
    const { tokenizer } = this;
    if (!tokenizer)
      throw new StableDiffusionError(
        'invalid-argument',
        `${this.checkpoint.label} takes no prompt, or its tokenizer is not there.`,
      );
    const length = this.checkpoint.config.cond_stage_max_length;
    const rows = prompts.map((prompt) => tokenizer.tokenize(prompt, { length }));
    const ids = BigInt64Array.from(rows.flatMap((row) => [...row.ids]).map(BigInt));
    return { ids: tensor('int64', [rows.length, length], ids), truncated: rows.map((row) => row.truncated) };
  }

  /**
   * Prompts as the UNet's context, float32 [n, tokens, width].
   * `clipSkip` 1 takes the last layer of CLIP's text encoder, 2 the one before it, …, through the final layer norm.
   */
  async encodePrompts(
    prompts: readonly string[],
    options: { readonly clipSkip?: number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Tensor<'float32'>> {
    return this.encodeTokens(this.tokenize(prompts).ids, options);
  }

  /** Token ids, int64 [n, tokens], as the UNet's context. As `encodePrompts`. */
  async encodeTokens(
    ids: Tensor<'int64'>,
    options: { readonly clipSkip?: number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Tensor<'float32'>> {
    const config = this.networkConfig('cond_stage');
    switch (config?.kind) {
      case 'clip_text':
        return this.#run(
          'cond_stage',
          'forward',
          { input_ids: ids },
          clipOutput(config, options.clipSkip ?? 1),
          options.signal,
        );
      case 'bert':
        return this.#run('cond_stage', 'forward', { tokens: ids }, 'embeddings', options.signal);
      case 'clip_text_embedder':
        return this.#run('cond_stage', 'forward', { tokens: ids }, 'out', options.signal);
      default:
        throw new StableDiffusionError(
          'invalid-argument',
          `${this.checkpoint.label} takes no prompt: its condition is ${config?.kind ?? 'none'}.`,
        );
    }
  }

  /** Class labels as the UNet's context, float32 [n, 1, width]. */
  async encodeClasses(labels: readonly number[], signal?: AbortSignal): Promise<Tensor<'float32'>> {
    return this.#run(
      'cond_stage',
      'forward',
      { class: tensor('int64', [labels.length], BigInt64Array.from(labels, BigInt)) },
      'out',
      signal,
    );
  }

  /** The UNet: x [b, channels, h, w] with what is concatenated to it, timesteps [b], and what its configuration asks for besides. */
  async predict(inputs: DenoiserInputs, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const [, , height = 1, width = 1] = inputs.x.shape;
    const most = Math.max(1, Math.floor(this.#options.engine.limits.latentPositions / (height * width)));
    const unet = inBatchesOf(most, (given, stop) => this.#run('unet', 'forward', given, 'out', stop));
    return unet(inputs, signal);
  }

  /** The autoencoder's posterior of images [b, 3, H, W] in [-1, 1]: mean and standard deviation, not scaled. A VQ or identity stage has no deviation. */
  async encodeImage(
    image: Tensor<'float32'>,
    signal?: AbortSignal,
  ): Promise<{ readonly mean: Tensor<'float32'>; readonly std?: Tensor<'float32'> }> {
    const stage = this.checkpoint.config.first_stage_config;
    if (stage.kind === 'identity') return { mean: image };
    if (stage.kind === 'vq') return { mean: await this.#run('first_stage', 'encode', { image }, 'prequant', signal) };
    const program = await this.#program('first_stage', 'encode', ['mean', 'logvar'], signal);
    const { mean, logvar } = await program.run({ image }, signal ? { signal } : {});
    if (!mean || !logvar) throw new StableDiffusionError('engine-failed', 'The autoencoder returned no posterior.');
    const log = expectDType(logvar, 'float32');
    return {
      mean: expectDType(mean, 'float32'),
      std: float32(
        log.shape,
        log.data.map((value) => Math.exp(Math.fround(0.5 * value))),
      ),
    };
  }

  /** Images [b, 3, H, W], about [-1, 1] and not clamped, of latents as the UNet has them (scaled by scale_factor). */
  async decodeLatent(latent: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const stage = this.checkpoint.config.first_stage_config;
    const z = scale(latent, Math.fround(1 / this.checkpoint.config.scale_factor));
    return stage.kind === 'identity' ? z : this.#run('first_stage', 'decode', { z }, 'decoded', signal);
  }

  /** Throws `too-large` where latents of these sides cannot be decoded, so that it is known before they are made. */
  checkDecodable(height: number, width: number): void {
    if (this.checkpoint.config.first_stage_config.kind === 'identity') return;
    const graph = this.#graph('first_stage', 'decode', ['decoded']);
    const bindings = new Map<string, number>();
    for (const { name, value } of graph.inputs)
      bindShape(name, value.shape, [1, this.latentChannels, height, width], bindings);
    checkSizes(graph, bindings);
  }

  /** A quick picture of a latent through TAESD, where there is one. */
  async decodePreview(latent: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    return this.#run('preview', 'decode', { z: latent }, 'decoded', signal);
  }

  /** The safety checker's margins for normalised CLIP images [b, 3, side, side]; undefined where the model has none. */
  async safetyMargins(
    pixels: Tensor<'float32'>,
    signal?: AbortSignal,
  ): Promise<{ readonly special: Tensor; readonly concept: Tensor } | undefined> {
    if (!this.networkConfig('safety')) return undefined;
    const program = await this.#program('safety', 'forward', ['special_margin', 'concept_margin'], signal);
    const results = await program.run({ clip_input: pixels }, signal ? { signal } : {});
    const [special, concept] = [results['special_margin'], results['concept_margin']];
    if (!special || !concept) throw new StableDiffusionError('engine-failed', 'The safety checker returned no scores.');
    return { special, concept };
  }

  /** Side of the images the safety checker takes. */
  get safetyImageSize(): number {
    const config = this.networkConfig('safety');
    return config?.kind === 'safety_checker' ? config.vision_config.image_size : 224;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const program of this.#programs.values())
      await program.then(
        (compiled) => compiled.dispose(),
        () => {},
      );
    if (this.#options.ownsCheckpoint ?? true) await this.checkpoint.close();
    if (this.#options.ownsEngine) await this.#options.engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function clipOutput(config: ClipTextConfig, clipSkip: number): string {
  const layer = config.num_hidden_layers + 1 - clipSkip;
  if (!Number.isInteger(clipSkip) || clipSkip < 1 || layer < 0) {
    throw new StableDiffusionError(
      'invalid-argument',
      `Clip skip is ${clipSkip}; this text encoder of ${config.num_hidden_layers} layers takes 1 to ${config.num_hidden_layers + 1}.`,
    );
  }
  return clipSkip === 1 ? 'last_hidden_state' : `final_norm.${layer}`;
}
