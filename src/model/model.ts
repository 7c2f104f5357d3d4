/** Model: a latent diffusion checkpoint on an engine, a thin view of its set of networks; what pipelines are written over. */

import type { NetworkConfig } from '../config/network-config.ts';
import type { ConditionedModel, Conditioner, EncodeOptions, Given, Tokenizer } from '../conditioning/conditioner.ts';
import { conditionerOf } from '../conditioning/conditioners.ts';
import { syntaxEncoding } from '../conditioning/prompt-contexts.ts';
import { idTensor } from '../conditioning/text.ts';
import type { Network } from '../diffusion/guidance.ts';
import { preconditionedNetwork, withSigma } from '../diffusion/continuous-levels.ts';
import type { PatchOptions } from '../diffusion/patches.ts';
import { scheduleOf } from '../diffusion/model-schedule.ts';
import type { NoiseSchedule } from '../diffusion/noise-schedule.ts';
import type { Parameterization } from '../diffusion/parameterization.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../checkpoints/checkpoint-networks.ts';
import type { Extension } from '../extensions/extension.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { type Autoencoder, autoencoderOf, type Posterior, type StageOptions } from './autoencoder.ts';
import type { DenoiserForms } from './denoiser-forms.ts';
import { createModelForms, type FormsRequest, type ModelForms } from './model-forms.ts';
import { type DenoiserNetwork, denoiserNetwork } from './denoiser-network.ts';
import type { MemoryUse } from './free-networks.ts';
import { type FormLease, KeptForm } from './kept-form.ts';
import { type ImageCondition, imageConditionOf } from './image-condition.ts';
import { scaledLatent, unscaledLatent } from './latent-scale.ts';
import { nativeLatentSize } from './native-size.ts';
import { patchedAutoencoder } from './patched-autoencoder.ts';
import { assertNetworksMatch, type NamedNetwork, NetworkSet, runForOne, withExtensions } from './network-set.ts';
import { type SafetyNetwork, safetyNetwork } from './safety.ts';
import { type VisibleMark, visibleMarkOf } from './visible-mark.ts';

export interface ModelOptions {
  readonly engine: Engine;
  readonly checkpoint: Checkpoint;
  /** By the part of the text encoder (`tokenizersOf`). */
  readonly tokenizers?: ReadonlyMap<string, Tokenizer> | undefined;
  /** The adapters applied to the checkpoint, for records of pictures (`adapters.ts`). */
  readonly adapters?: readonly string[] | undefined;
  /** Of its UNet, whose weights hold their parameters (hypernetworks). */
  readonly extensions?: readonly Extension[] | undefined;
  /** A TAESD for previews: its configuration and weights under diffusers names. */
  readonly preview?: NamedNetwork | undefined;
  /** Changes the conditioner: retrieval puts neighbours behind its condition. */
  readonly conditioner?: ((own: Conditioner) => Conditioner) | undefined;
  /** Default float32. */
  readonly precision?: PrecisionName | undefined;
  /** Default auto. */
  readonly memory?: MemoryUse | undefined;
  /** Close the checkpoint's files when the model is disposed of. Default true. */
  readonly ownsCheckpoint?: boolean | undefined;
  /** Stop the engine when the model is disposed of. Default false. */
  readonly ownsEngine?: boolean | undefined;
}

export class Model implements AsyncDisposable, ConditionedModel {
  readonly checkpoint: Checkpoint;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly networks: NetworkSet;
  readonly conditioner: Conditioner;
  readonly autoencoder: Autoencoder;
  readonly denoiser: DenoiserNetwork;
  /** A condition on an image beside the text. Undefined for most models. */
  readonly imageCondition: ImageCondition | undefined;
  /** Undefined for a model that puts no visible mark into its pictures. */
  readonly visibleMark: VisibleMark | undefined;
  /** Undefined for a model without a safety checker. */
  readonly safety: SafetyNetwork | undefined;
  readonly tokenizers: ReadonlyMap<string, Tokenizer>;
  /** LoRAs and embeddings in it, as records of pictures name them. */
  readonly adapters: readonly string[];
  readonly #options: ModelOptions;
  readonly #predict: Network;
  /** The form of its denoiser for the extensions or controls of a run. */
  readonly keptForm = new KeptForm();
  readonly #forms: ModelForms = createModelForms(this);
  #disposed = false;

  /** Checks names and shapes of all parameters. Throws `weights-mismatch`, naming all that differ. Reads no weights. */
  constructor(options: ModelOptions) {
    const { checkpoint, engine, preview, precision, tokenizers = new Map(), adapters = [], extensions = [] } = options;
    const { config, safety_config, label } = checkpoint;
    const own = withExtensions(checkpointNetworks(checkpoint), extensions);
    assertNetworksMatch(own.values());
    this.#options = options;
    this.checkpoint = checkpoint;
    this.tokenizers = tokenizers;
    this.adapters = adapters;
    this.schedule = scheduleOf(config);
    this.parameterization = config.noise_levels ? 'x0' : config.parameterization;
    this.networks = new NetworkSet({
      label,
      engine,
      precision,
      networks: new Map<string, NamedNetwork>([...own, ...(preview ? [['preview', preview] as const] : [])]),
    });
    const conditioner = conditionerOf(config, {
      label,
      tokenizers,
      run: (network, outputs, inputs, signal) => this.networks.run({ network, outputs }, inputs, signal),
    });
    this.conditioner = options.conditioner?.(conditioner) ?? conditioner;
    this.autoencoder = autoencoderOf(config.first_stage_config, this.networks);
    this.denoiser = denoiserNetwork(config.unet_config, this.networks);
    this.#predict = this.#networkOfLevels();
    this.imageCondition = imageConditionOf({
      label,
      config: config.image_condition,
      networks: this.networks,
      parts: checkpoint.parts,
    });
    this.visibleMark = visibleMarkOf(checkpoint.parts);
    this.safety = safety_config && safetyNetwork(safety_config, this.networks);
  }

  /** The network as samplers call it: by timestep, whatever number it takes for the noise level. */
  #networkOfLevels(): Network {
    const { noise_levels: levels, time_is_sigma: takesSigma } = this.checkpoint.config;
    const { predict, latentChannels } = this.denoiser;
    if (levels) return preconditionedNetwork(predict, levels, this.schedule, latentChannels);
    return takesSigma ? withSigma(predict, this.schedule) : predict;
  }

  /** Latents of the autoencoder as the network has them: less their mean, over their deviation, scaled. */
  scaleLatent(latent: Tensor<'float32'>): Tensor<'float32'> {
    return scaledLatent(latent, this.checkpoint.config);
  }

  /** The file or folder it was loaded from. */
  get label(): string {
    return this.checkpoint.label;
  }

  /** Element type the networks compute in. */
  get precision(): PrecisionName {
    return this.#options.precision ?? 'float32';
  }

  /** When it frees networks that a run does not need any more. */
  get memory(): MemoryUse {
    return this.#options.memory ?? 'auto';
  }

  /** The configuration of the network of a part (`unet`, `first_stage`, `cond_stage`, `safety`, `preview`), or undefined if the model has none. */
  networkConfig(part: string): NetworkConfig | undefined {
    return this.networks.config(part);
  }

  /** Pixels per latent element along each axis. */
  get downsampling(): number {
    return this.autoencoder.downsampling;
  }

  /** Width and height of the latent must be multiples of this. */
  get latentUnit(): number {
    return this.denoiser.latentUnit;
  }

  /** Width and height of a picture must be multiples of this number of pixels. */
  get unit(): number {
    return this.downsampling * this.latentUnit;
  }

  /** Channels of the latent, without those appended as a condition. */
  get latentChannels(): number {
    return this.denoiser.latentChannels;
  }

  /** Native size of the model's pictures in pixels per side. Stable Diffusion v1's YAML states 256, but it was fine-tuned on 512. */
  get nativeSize(): number {
    return nativeLatentSize(this.checkpoint.config) * this.downsampling;
  }

  /** The tokenizer of the first text encoder. Undefined for a model that takes no prompts. */
  get tokenizer(): Tokenizer | undefined {
    return this.conditioner.text?.tokenizer;
  }

  get hasPreviewDecoder(): boolean {
    return this.networkConfig('preview') !== undefined;
  }

  /** The tokenizer of prompts that A1111's syntax can be used in. Undefined for models that cannot take that syntax. */
  get clipTokenizer(): ClipTokenizer | undefined {
    return syntaxEncoding(this.conditioner)?.tokenizer;
  }

  /** Compiles the networks a text-to-image run needs, ahead of time. */
  async prepare(signal?: AbortSignal): Promise<void> {
    await this.networks.compile({ network: 'unet', outputs: ['out'] }, signal);
  }

  /** Token ids of prompts, int64 [n, length], as the first text encoder takes them; longer ones are cut. Throws `invalid-argument` for a model that takes no prompts. */
  tokenize(prompts: readonly string[]): { readonly ids: Tensor<'int64'>; readonly truncated: readonly boolean[] } {
    const { text } = this.conditioner;
    if (!text)
      throw new StableDiffusionError(
        'invalid-argument',
        `${this.label} takes no prompt, or its tokenizer was not found.`,
      );
    const rows = prompts.map((prompt) => text.tokenizer.tokenize(prompt, { length: text.length }));
    return { ids: idTensor(rows.map(({ ids }) => [...ids])), truncated: rows.map((row) => row.truncated) };
  }

  /** The UNet's inputs for the conditions of each picture. Throws `invalid-argument` for unsupported conditions. */
  encode(given: Given, options?: EncodeOptions): Promise<NetworkInputs> {
    return this.conditioner.encode(given, options);
  }

  /**
   * Prompts as the UNet's context, float32 [n, tokens, width].
   * `clipSkip` 1 takes the text encoder's usual layer, 2 the one before it, …, through the final layer norm.
   */
  async encodePrompts(prompts: readonly string[], options: EncodeOptions = {}): Promise<Tensor<'float32'>> {
    const { context } = await this.encode({ texts: prompts }, options);
    if (!context) throw new StableDiffusionError('invalid-argument', `${this.label} takes no prompt.`);
    return expectDType(context, 'float32');
  }

  /** The UNet: x [b, channels, h, w] with what is concatenated to it, timesteps [b], and the inputs of its condition. */
  predict(...[inputs, signal]: Parameters<Network>): Promise<Tensor<'float32'>> {
    return this.#predict(inputs, signal);
  }

  /** The denoiser in a form with extensions, for one run. Throws as `openDenoiserForms`. */
  denoiserForms(options: FormsRequest): Promise<FormLease<DenoiserForms>> {
    return this.#forms.denoiser(options);
  }

  /** The autoencoder's posterior of images [b, 3, H, W] in [-1, 1]: mean and standard deviation, not scaled. A VQ or identity stage has no deviation. */
  async encodeImage(image: Tensor<'float32'>, signal?: AbortSignal, options: StageOptions = {}): Promise<Posterior> {
    return this.autoencoder.posterior(await (await this.#forms.autoencoder(options)).encode(image, signal));
  }

  /** Images [b, 3, H, W], about [-1, 1] and not clamped, of latents as the UNet has them (scaled by scale_factor). */
  async decodeLatent(
    latent: Tensor<'float32'>,
    signal?: AbortSignal,
    options: StageOptions = {},
  ): Promise<Tensor<'float32'>> {
    const autoencoder = await this.#forms.autoencoder(options);
    return autoencoder.decode(unscaledLatent(latent, this.checkpoint.config), signal);
  }

  /** VQ first stages: each latent pixel [b, c, h, w] replaced by the nearest row of the codebook. Throws `invalid-argument` for other models. */
  quantizeLatent(latent: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    return this.autoencoder.quantize(latent, signal);
  }

  /** Throws `too-large` for latents of this size that cannot be decoded, before they are computed. */
  checkDecodable(height: number, width: number, patches?: PatchOptions): void {
    (patches ? patchedAutoencoder(this.autoencoder, patches) : this.autoencoder).checkDecodable(
      this.latentChannels,
      height,
      width,
    );
  }

  /** Throws `too-large` with the figures where memory does not suffice for so many latents of this size, before they are computed. Gives the bytes. */
  checkMemory(batch: number, wholeHeight: number, wholeWidth: number, patches?: PatchOptions): number {
    const largest = patches?.size ?? Number.POSITIVE_INFINITY;
    const [height, width] = [Math.min(wholeHeight, largest), Math.min(wholeWidth, largest)];
    const { in_channels: channels } = this.checkpoint.config.unet_config;
    const denoise = { network: 'unet', outputs: ['out'], shapes: { x: [batch, channels, height, width] } };
    const decode = {
      network: 'first_stage',
      graph: 'decode',
      outputs: ['decoded'],
      shapes: { z: [1, this.latentChannels, height, width] },
    };
    const uses = this.checkpoint.config.first_stage_config.kind === 'identity' ? [denoise] : [denoise, decode];
    return this.networks.checkMemory(uses);
  }

  /** A quick picture of a latent through the TAESD of `preview`. Throws `invalid-argument` without one. */
  decodePreview(latent: Tensor<'float32'>, signal?: AbortSignal): Promise<Tensor<'float32'>> {
    const choice = { network: 'preview', graph: 'decode', output: 'decoded' };
    return runForOne(this.networks, choice, { z: latent }, signal);
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.keptForm[Symbol.asyncDispose]();
    await this.#forms.dispose();
    await this.networks.dispose();
    if (this.#options.ownsCheckpoint ?? true) await this.checkpoint.close();
    if (this.#options.ownsEngine) await this.#options.engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
