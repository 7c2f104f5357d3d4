/**
 * Features as guided-diffusion's evaluator takes them: the TensorFlow graph resizes pictures of any size without half-pixel centres and without a filter
 * against aliasing, and gives `pool_3`, the first seven channels of `mixed_6/conv` (after its ReLU), and logits without bias. The weights are
 * pytorch-fid's, which are the graph's.
 */

import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError, throwIfAborted } from '../errors.ts';
import { type Image, toRgb } from '../image/image.ts';
import { inceptionSide, traceInception } from '../models/inception.ts';
import { expectDType, float32, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface AdmFeatures {
  /** `pool_3`, [n, 2048]. */
  readonly features: Tensor<'float32'>;
  /** [n, 2023]: rows, columns and seven channels, in this order. */
  readonly spatial: Tensor<'float32'>;
  /** [n, classes]; only of files with a classifier. */
  readonly logits?: Tensor<'float32'>;
}

export interface AdmNetwork extends AsyncDisposable {
  /** Features of a few pictures. */
  pictures(images: readonly Image[], signal?: AbortSignal): Promise<AdmFeatures>;
}

/** `ResizeBilinear` of TensorFlow 1, then (x - 128) / 128: float32 [n, 3, 299, 299]. */
export function admInceptionTensor(images: readonly Image[], side: number = inceptionSide): Tensor<'float32'> {
  const out = new Float32Array(images.length * 3 * side * side);
  let to = 0;
  for (const image of images) {
    const { width, height, data } = toRgb(image);
    const taps = (from: number) =>
      Array.from({ length: side }, (_, i) => {
        const at = Math.fround(i * Math.fround(from / side));
        const low = Math.min(Math.floor(at), from - 1);
        return { low, high: Math.min(low + 1, from - 1), share: Math.fround(at - low) };
      });
    const [rows, columns] = [taps(height), taps(width)];
    for (let channel = 0; channel < 3; channel++) {
      const pixel = (y: number, x: number): number => data[(y * width + x) * 3 + channel] as number;
      for (const y of rows)
        for (const x of columns) {
          const above = pixel(y.low, x.low) + (pixel(y.low, x.high) - pixel(y.low, x.low)) * x.share;
          const below = pixel(y.high, x.low) + (pixel(y.high, x.high) - pixel(y.high, x.low)) * x.share;
          out[to++] = (above + (below - above) * y.share - 128) / 128;
        }
    }
  }
  return float32([images.length, 3, side, side], out);
}

/** [n, channels, h, w] → rows [n, h · w · channels]. */
function rowsOf({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [n = 0, channels = 0, h = 0, w = 0] = shape;
  const plane = h * w;
  const out = new Float32Array(data.length);
  for (let item = 0; item < n; item++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < plane; i++)
        out[(item * plane + i) * channels + c] = data[(item * channels + c) * plane + i] as number;
  return float32([n, plane * channels], out);
}

/** The network of a file in pytorch-fid's form; `weights` stays open as long as it. Throws `model-unknown` for other networks. */
export async function admNetwork(engine: Engine, weights: WeightSource): Promise<AdmNetwork> {
  if (!weights.entries.has('Mixed_7c.branch3x3_2a.conv.weight'))
    throw new StableDiffusionError(
      'model-unknown',
      `${weights.label} is not Inception v3 in pytorch-fid's form. guided-diffusion's measures need pt_inception-2015-12-05-6726825d.pth.`,
    );
  const classes = weights.entries.get('fc.weight')?.shape[0] ?? 0;
  const program = await engine.compile(traceInception({ classes, spatial: true }), weights);
  return {
    async pictures(images, signal) {
      throwIfAborted(signal);
      const made = await program.run({ image: admInceptionTensor(images) }, signal ? { signal } : {});
      const of = (name: string): Tensor<'float32'> => expectDType(made[name] as Tensor, 'float32');
      return {
        features: of('features'),
        spatial: rowsOf(of('spatial')),
        ...(classes > 0 ? { logits: of('logits') } : {}),
      };
    },
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}
