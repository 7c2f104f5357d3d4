/** Encoding and decoding with a VAE value: pictures [b, 3, h, w] in [-1, 1] to latents and back, item by item. */

import { otherFamily } from '../checkpoints/model-families.ts';
import { type Autoencoder, autoencoderOf, type FirstStageNetworks } from '../model/autoencoder.ts';
import type { GraphChoice } from '../model/network-set.ts';
import { joinBatches, takeBatch } from '../tensor/batches.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { channelsFirst } from './pictures.ts';
import { throwIfAborted } from '../errors.ts';
import type { LatentValue } from './values.ts';
import type { NetworkCall } from './network-pool.ts';
import type { NodeContext } from './context-in-run.ts';
import type { VaeValue } from './values/vae.ts';

type Float32 = Tensor<'float32'>;

/** The autoencoder over the context's networks. */
export function autoencoder(vae: VaeValue, { networks }: NodeContext): Autoencoder {
  const own: FirstStageNetworks = {
    run: (choice, inputs, signal) => networks.run(vae.network, callOf(choice), inputs, signal),
    graph: (choice) => networks.graph(vae.network, callOf(choice)),
  };
  return autoencoderOf(vae.network.config, own);
}

const callOf = ({ graph, outputs }: GraphChoice): NetworkCall =>
  graph === undefined ? { outputs } : { graph, outputs };

async function itemByItem(
  values: Float32,
  { signal }: NodeContext,
  run: (one: Float32) => Promise<Float32>,
): Promise<Float32> {
  const made: Float32[] = [];
  for (let i = 0; i < (values.shape[0] ?? 0); i++) {
    throwIfAborted(signal);
    made.push(await run(takeBatch(values, i, i + 1)));
  }
  return joinBatches(made);
}

/** Throws `weights-mismatch` for latents that a model of another family sampled. */
export function refuseOtherLatents({ label: file, family }: VaeValue, { of: model }: LatentValue): void {
  if (family && model?.family && family.latents !== model.family.latents)
    throw otherFamily({ file, what: 'an autoencoder (VAE)', family, model });
}

/** Latents as nodes have them → pictures [b, 3, h, w] in 0…1. */
export function decodeLatent(vae: VaeValue, samples: Float32, context: NodeContext): Promise<Float32> {
  const stage = autoencoder(vae, context);
  return itemByItem(samples, context, async (one) => {
    const decoded = await stage.decode(one, context.signal);
    return { ...decoded, data: decoded.data.map((x) => Math.min(1, Math.max(0, Math.fround(Math.fround(x + 1) / 2)))) };
  });
}

/** Pictures [b, 3, h, w] in 0…1 → latents: the mode of the posterior. */
function encodePicture(vae: VaeValue, picture: Float32, context: NodeContext): Promise<Float32> {
  const stage = autoencoder(vae, context);
  return itemByItem(picture, context, async (one) => {
    const scaled = { ...one, data: one.data.map((x) => Math.fround(x * 2) - 1) };
    return stage.posterior(await stage.encode(scaled, context.signal)).mean;
  });
}

/** IMAGE cut in the middle to multiples of the first stage's unit, three channels. */
export function croppedToUnits(
  { downsampling: unit }: VaeValue,
  pixels: Float32,
): {
  readonly picture: Float32;
  readonly crop: { readonly top: number; readonly left: number; readonly height: number; readonly width: number };
} {
  const [batch = 1, h = 1, w = 1, channels = 3] = pixels.shape;
  const [height, width] = [Math.floor(h / unit) * unit, Math.floor(w / unit) * unit];
  const [top, left] = [(h % unit) >> 1, (w % unit) >> 1];
  const crop = { top, left, height, width };
  if (height === h && width === w && channels === 3) return { picture: pixels, crop };
  const data = new Float32Array(batch * height * width * 3);
  for (let b = 0; b < batch; b++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < 3; c++)
          data[((b * height + y) * width + x) * 3 + c] = pixels.data[
            ((b * h + top + y) * w + left + x) * channels + c
          ] as number;
  return { picture: float32([batch, height, width, 3], data), crop };
}

/** IMAGE → latents. */
export function encodePixels(vae: VaeValue, pixels: Float32, context: NodeContext): Promise<Float32> {
  return encodePicture(vae, channelsFirst(croppedToUnits(vae, pixels).picture), context);
}
