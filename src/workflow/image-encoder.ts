/** CLIP_VISION: CLIP's image encoder, and what it makes of pictures. After ComfyUI's clip_vision.py. */

import { resizePlanes } from '../conditioning/resize-planes.ts';
import type { DetectedNetwork } from '../checkpoints/detect.ts';
import type { ClipVisionConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { clipImageMean, clipImageStd } from '../image/clip-image.ts';
import type { NamedNetwork } from '../model/network-set.ts';
import { bicubicDownMatrix } from '../nn/resize-matrix.ts';
import { cropPlanes } from '../tensor/crop-planes.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import { type Float32, withChannels } from './grids.ts';
import { channelsFirst } from './pictures.ts';

export interface ImageEncoderValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly network: NamedNetwork & { readonly config: ClipVisionConfig };
}

/** CLIP_VISION_OUTPUT, with ComfyUI's names. */
export interface SeenPictures {
  /** [n, width]; undefined for an encoder without a projection. */
  readonly image_embeds: Float32 | undefined;
  /** [n, 1 + patches, width]. */
  readonly last_hidden_state: Float32;
  readonly penultimate_hidden_states: Float32;
}

/** Throws `model-unknown`. */
export function imageEncoderOf({ config, source }: DetectedNetwork): ImageEncoderValue {
  if (config.kind !== 'clip_vision')
    throw new StableDiffusionError(
      'model-unknown',
      `${source.label} is not CLIP's image encoder; it is ${config.kind}.`,
    );
  return { holdsNetworks: true, label: source.label, network: { config, weights: source } };
}

/** IMAGE [n, h, w, c] → normalised pixels [n, 3, size, size]: bicubic with antialiasing, the middle or the whole. */
export function encoderPixels(image: Float32, size: number, crops: boolean): Float32 {
  const planes = channelsFirst(withChannels(image, 3));
  const [, , height = 1, width = 1] = planes.shape;
  const scale = size / Math.min(height, width);
  const [h, w] = crops ? [roundHalfEven(scale * height), roundHalfEven(scale * width)] : [size, size];
  const sized =
    height === size && width === size
      ? planes
      : cropPlanes(resizePlanes(planes, bicubicDownMatrix(height, h), bicubicDownMatrix(width, w)), {
          top: (h - size) >> 1,
          left: (w - size) >> 1,
          height: size,
          width: size,
        });
  const data = sized.data.map((value, i) => {
    const channel = Math.floor(i / (size * size)) % 3;
    const rounded = roundHalfEven(Math.min(255, Math.max(0, 255 * value))) / 255;
    return (rounded - (clipImageMean[channel] as number)) / (clipImageStd[channel] as number);
  });
  return { ...sized, data };
}

/** Runs the encoder on normalised pixels. */
export async function seePixels(
  { network }: ImageEncoderValue,
  pixel_values: Float32,
  { networks, signal }: Pick<NodeContext, 'networks' | 'signal'>,
): Promise<SeenPictures> {
  const { num_hidden_layers: layers, with_projection: projects } = network.config;
  const penultimate = `hidden_states.${layers - 1}`;
  const outputs = ['last_hidden_state', penultimate, ...(projects ? ['image_embeds'] : [])];
  const made = await networks.run(network, { outputs }, { pixel_values }, signal);
  const of = (name: string): Float32 => expectDType(made[name] as Tensor, 'float32', name);
  return {
    image_embeds: projects ? of('image_embeds') : undefined,
    last_hidden_state: of('last_hidden_state'),
    penultimate_hidden_states: of(penultimate),
  };
}

/** Runs the encoder on pictures. */
export const seePictures = (
  encoder: ImageEncoderValue,
  image: Float32,
  crops: boolean,
  context: Pick<NodeContext, 'networks' | 'signal'>,
): Promise<SeenPictures> => seePixels(encoder, encoderPixels(image, encoder.network.config.image_size, crops), context);
