/**
 * Fooocus's inpainting for SDXL: a convolution of the mask and the latent that is kept, added behind the UNet's input convolution, and
 * differences of its weights in 8 bits (lllyasviel/Fooocus; comfyui-inpaint-nodes).
 */

import { StableDiffusionError } from '../errors.ts';
import { inputFeature, inputFeatureInput } from '../extensions/input-feature.ts';
import { scaledLatent } from '../model/latent-scale.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { roundHalfEven } from '../tensor/round-half-even.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { aliased, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { WorkflowFiles } from './context.ts';
import type { Float32 } from './grids.ts';
import { toBatch } from './sampling/to-batch.ts';
import { type ModelValue, patched, withExtension } from './values/model.ts';
import type { LatentValue } from './values.ts';

/** INPAINT_PATCH. */
export interface InpaintPatchValue {
  readonly holdsNetworks: true;
  /** float32 [channels, 5, 3, 3]. */
  readonly head: Float32;
  readonly differences: WeightSource;
}

/** Throws `file-unsupported` for files that are not the head and the patch. */
export async function inpaintPatch(
  files: WorkflowFiles,
  headName: string,
  patchName: string,
): Promise<InpaintPatchValue> {
  const headFile = await files.weights('inpaint', headName);
  try {
    const shape = headFile.entries.get('head')?.shape;
    if (shape?.slice(1).join() !== '5,3,3')
      throw new StableDiffusionError(
        'file-unsupported',
        `${headName} is not Fooocus's inpainting head: it has no tensor head of [n, 5, 3, 3].`,
      );
    const head = toFloat32(await headFile.read('head'));
    const differences = await files.weights('inpaint', patchName);
    if (![...differences.entries.keys()].some((name) => differenceOf.test(name)))
      throw new StableDiffusionError('file-unsupported', `${patchName} is not Fooocus's inpainting patch.`);
    return { holdsNetworks: true, head, differences };
  } finally {
    await headFile.close();
  }
}

/** Bytes, minimum and maximum of a weight's difference, one behind the other in a list. */
const differenceOf = /^diffusion_model\.(.+)[/.]0$/;

function withDifferences(source: WeightSource, differences: WeightSource): WeightSource {
  const named = new Map(
    [...differences.entries.keys()].flatMap((name) => {
      const own = differenceOf.exec(name)?.[1];
      return own === undefined ? [] : [[own, name.slice(0, -1)] as const];
    }),
  );
  const entries = Array.from(source.entries.values(), ({ name, shape }) => {
    const own = aliased(source, name);
    const prefix = named.get(name);
    if (prefix === undefined || differences.entries.get(`${prefix}0`)?.shape.join() !== shape.join()) return own;
    return {
      entry: { ...own.entry, dtype: 'float32' as const },
      async read(signal?: AbortSignal) {
        const x = toFloat32(await source.read(name, signal));
        const [bytes, low, high] = await Promise.all(
          [0, 1, 2].map((part) => differences.read(`${prefix}${part}`, signal)),
        );
        const [min, max] = [low, high].map((one) => toFloat32(one as Tensor).data[0] as number) as [number, number];
        const levels = (bytes as Tensor).data;
        return { ...x, data: x.data.map((value, i) => value + (Number(levels[i]) / 255) * (max - min) + min) };
      },
    };
  });
  return weightView(source.label, entries, [source, differences]);
}

/** The mask of pixels in latent elements: 1 where any of the eight by eight pixels is. [b, 1, h, w]. */
function maskPlanes(mask: Float32, height: number, width: number): Float32 {
  const [h = 1, w = 1] = mask.shape.slice(-2);
  const count = mask.data.length / (h * w);
  const [sy, sx] = [Math.floor(h / height), Math.floor(w / width)];
  const data = Float32Array.from({ length: count * height * width }, (_, i) => {
    const [item, y, x] = [Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width];
    let most = 0;
    for (let dy = 0; dy < sy; dy++)
      for (let dx = 0; dx < sx; dx++)
        most = Math.max(most, roundHalfEven(mask.data[(item * h + y * sy + dy) * w + x * sx + dx] as number));
    return most;
  });
  return float32([count, 1, height, width], data);
}

/** A 3 by 3 convolution [channels, 5, 3, 3] of mask and latent, the border repeated: [b, channels, h, w]. */
function headFeature({ shape: [channels = 1], data: kernel }: Float32, mask: Float32, latent: Float32): Float32 {
  const [batch = 1, own = 4, height = 1, width = 1] = latent.shape;
  const plane = height * width;
  const masks = toBatch(mask, batch);
  const data = new Float32Array(batch * channels * plane);
  const near = (i: number, n: number): number => Math.min(n - 1, Math.max(0, i));
  for (let b = 0; b < batch; b++)
    for (let i = 0; i <= own; i++) {
      const from =
        i === 0
          ? masks.data.subarray(b * plane, (b + 1) * plane)
          : latent.data.subarray((b * own + i - 1) * plane, (b * own + i) * plane);
      for (let k = 0; k < 9; k++)
        for (let y = 0; y < height; y++)
          for (let x = 0; x < width; x++) {
            const value = from[
              near(y + Math.floor(k / 3) - 1, height) * width + near(x + (k % 3) - 1, width)
            ] as number;
            if (value === 0) continue;
            for (let o = 0, at = b * channels * plane + y * width + x; o < channels; o++, at += plane)
              data[at] = (data[at] as number) + value * (kernel[(o * 5 + i) * 9 + k] as number);
          }
    }
  return float32([batch, channels, height, width], data);
}

/** Throws `weights-mismatch` for a model that is not SDXL, `invalid-argument` for a latent without a mask. */
export function withFooocusInpaint(
  model: ModelValue,
  { head, differences }: InpaintPatchValue,
  { samples, noiseMask }: LatentValue,
): ModelValue {
  if (model.network.config.model_channels !== head.shape[0])
    throw new StableDiffusionError(
      'weights-mismatch',
      `Fooocus's inpainting is made for SDXL, whose first convolution has ${head.shape[0]} channels; that of ${model.label} has ${model.network.config.model_channels}.`,
    );
  if (!noiseMask) throw new StableDiffusionError('invalid-argument', 'Fooocus inpainting needs a latent with a mask.');
  const [, , height = 1, width = 1] = samples.shape;
  const feature = headFeature(head, maskPlanes(noiseMask, height, width), scaledLatent(samples, model.config));
  const network = { ...model.network, weights: withDifferences(model.network.weights, differences) };
  return patched(withExtension({ ...model, network }, inputFeature), {
    promptInputs: [({ batch }) => ({ [inputFeatureInput]: toBatch(feature, batch) })],
  });
}
