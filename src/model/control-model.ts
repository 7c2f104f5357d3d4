/**
 * Control models: networks that act on a model's denoiser, opened for that model on its engine.
 *
 *     const canny = openControlModel(model, await openWeightsAt('control_v11p_sd15_canny.pth'));
 */

import { type ControlConfig, controlKindName, openControlFile } from '../checkpoints/control-file.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { notWanted } from '../checkpoints/what-source-is.ts';
import type { ClipVisionConfig, IpAdapterConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { clipImageTensor } from '../image/clip-image.ts';
import type { Image } from '../image/image.ts';
import { takesHiddenStates } from '../models/ip-adapter.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType, type Tensor, tensor, zeros } from '../tensor/tensor.ts';
import { float32Bytes, type WeightSource } from '../weights/weight-source.ts';
import { type DenoisingModel, unetOf } from './extended-denoiser.ts';
import { assertNetworksMatch, type NamedNetwork, NetworkSet, runForOne } from './network-set.ts';

export interface ControlModelOptions {
  /** CLIP's image encoder (`model.safetensors` of `image_encoder/`), for IP-Adapters and style adapters. */
  readonly imageEncoder?: WeightSource | undefined;
  /** Outputs are averaged over the picture, as the shuffle ControlNet's. Default: by `shuffle` in the file's name. */
  readonly pool?: boolean | undefined;
  /** Heads of a style adapter. Default 8. */
  readonly styleHeads?: number | undefined;
}

/** Image tokens of both halves of guidance, float32 [1, tokens, width]. */
export interface ImageTokens {
  readonly conditional: Tensor<'float32'>;
  readonly unconditional: Tensor<'float32'>;
}

export interface ControlModel extends AsyncDisposable {
  /** The file or folder it was opened from. */
  readonly label: string;
  /** Of a reference mode there is no file. */
  readonly config: ControlConfig | { readonly kind: 'reference' };
  readonly pool: boolean;
  /** Bytes of its weights and its image encoder's in float32: what it takes when it is compiled. */
  readonly bytes: number;
  /** IP-Adapter: keys and values for the denoiser's attentions, as adapter number `index`. */
  readonly attention?: ((index: number) => WeightSource) | undefined;
  /** Runs the network. ControlNet: x, timesteps, context, hint → `control.N`; T2I-Adapter: image → `adapter.N`; style: hidden_states → style_tokens. */
  run(inputs: NetworkInputs, signal?: AbortSignal): Promise<NetworkInputs>;
  /** What CLIP's image encoder makes of pictures: float32 [n, …] by the reference's name. Throws `invalid-argument` without an encoder. */
  see(
    pixels: Tensor<'float32'>,
    output: 'image_embeds' | 'last_hidden_state' | 'penultimate',
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>>;
  /** Pixels of pictures as the image encoder takes them. */
  pixelsOf(pictures: readonly Image[]): Tensor<'float32'>;
  dispose(): Promise<void>;
}

const isShuffle = (label: string): boolean => /shuffle/i.test(label.split(/[\\/]/).at(-1) ?? '');

function encoderOf(source: WeightSource): NamedNetwork & { readonly config: ClipVisionConfig } {
  try {
    const { config, source: weights } = detectNetwork(source);
    if (config.kind === 'clip_vision') return { config, weights };
  } catch (error) {
    if (!(error instanceof StableDiffusionError) || error.code !== 'model-unknown') throw error;
  }
  throw notWanted(source, "CLIP's image encoder");
}

/**
 * Opens a control model. The model's UNet decides what fits it.
 * @throws `model-unknown`, `weights-mismatch`: one line that names the file and the reason
 */
export function openControlModel(
  model: DenoisingModel,
  source: WeightSource,
  { imageEncoder, pool = isShuffle(source.label), styleHeads }: ControlModelOptions = {},
): ControlModel {
  const unet = unetOf(model);
  const file = openControlFile(source, { label: model.label, ...unet }, { styleHeads });
  const { config, weights, attention } = file;
  const encoder = imageEncoder && encoderOf(imageEncoder);
  const all = new Map<string, NamedNetwork>([
    ['control', { config, weights }],
    ...(encoder ? [['encoder', encoder] as const] : []),
  ]);
  assertNetworksMatch(all.values());
  const { engine } = model.networks;
  const networks = new NetworkSet({ label: source.label, engine, precision: model.precision, networks: all });
  const outputs = networks.outputs({ network: 'control' }).filter((name) => name !== 'hint_features');
  const needEncoder = (): ClipVisionConfig => {
    if (encoder) return encoder.config;
    throw new StableDiffusionError(
      'invalid-argument',
      `${source.label}: this ${controlKindName(config)} needs CLIP's image encoder, and none was given. Give its file (image_encoder/model.safetensors).`,
    );
  };
  const dispose = async (): Promise<void> => {
    await networks.dispose();
    await Promise.all([source.close(), imageEncoder?.close()]);
  };
  return {
    label: source.label,
    config,
    pool,
    bytes: float32Bytes(source) + (imageEncoder ? float32Bytes(imageEncoder) : 0),
    attention,
    run: (inputs, signal) => networks.run({ network: 'control', outputs }, inputs, signal),
    see(pixels, output, signal) {
      const { num_hidden_layers, with_projection } = needEncoder();
      if (output === 'image_embeds' && !with_projection)
        throw new StableDiffusionError(
          'invalid-argument',
          `${imageEncoder?.label}: this image encoder has no projection, and ${source.label} needs one. Give the encoder that the adapter was made with.`,
        );
      const name = output === 'penultimate' ? `hidden_states.${num_hidden_layers - 1}` : output;
      return runForOne(networks, { network: 'encoder', output: name }, { pixel_values: pixels }, signal);
    },
    pixelsOf: (pictures) => clipImageTensor(pictures, { size: needEncoder().image_size }),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

/** Image embeddings [n, width] or hidden states [n, states, width] of pictures → their tokens joined, float32 [1, n · tokens, context]. */
export async function projectImages(
  control: ControlModel,
  images: Tensor<'float32'>,
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const { image_tokens } = await control.run({ image_embeds: images }, signal);
  const { shape, data } = expectDType(image_tokens as Tensor, 'float32', 'image_tokens');
  const [n = 1, tokens = 1, width = 1] = shape;
  return tensor('float32', [1, n * tokens, width], data);
}

/** What the image encoder makes of no picture: zeros for an embedding, of hidden states those of black pixels after normalisation. */
export async function imageTokens(
  control: ControlModel,
  pictures: readonly Image[],
  signal?: AbortSignal,
): Promise<ImageTokens> {
  const config = control.config as IpAdapterConfig;
  if (config.projection === 'face')
    throw new StableDiffusionError(
      'invalid-argument',
      `${control.label}: a FaceID adapter takes the embedding of a face, not a picture. Give embeddings.`,
    );
  const pixels = control.pixelsOf(pictures);
  const output = takesHiddenStates(config) ? 'penultimate' : 'image_embeds';
  const seen = await control.see(pixels, output, signal);
  const width = seen.shape.at(-1) ?? 0;
  if (width !== config.clip_embeddings_dim)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${control.label} cannot be used with this image encoder: it takes ${config.clip_embeddings_dim} values, and the encoder makes ${width}. Give the encoder that the adapter was made with.`,
    );
  const nothing =
    output === 'penultimate'
      ? await control.see(zeros('float32', pixels.shape), output, signal)
      : zeros('float32', seen.shape);
  return embeddedTokens(control, seen, nothing, signal);
}

/** Tokens of given embeddings, and of zeros. */
export async function embeddedTokens(
  control: ControlModel,
  images: Tensor<'float32'>,
  nothing: Tensor<'float32'> = zeros('float32', images.shape),
  signal?: AbortSignal,
): Promise<ImageTokens> {
  return {
    conditional: await projectImages(control, images, signal),
    unconditional: await projectImages(control, nothing, signal),
  };
}
