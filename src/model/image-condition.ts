/** The condition on an image of a model that has one: its networks, run on pictures. */

import { imageConditionPart, imageStatisticsPart } from '../checkpoints/infer/image-condition.ts';
import { clipPixels } from '../conditioning/clip-pixels.ts';
import type { EmbeddingStatistics } from '../conditioning/image-noise.ts';
import { resizePlanes } from '../conditioning/resize-planes.ts';
import type { ImageConditionConfig } from '../config/image-condition.ts';
import { StableDiffusionError } from '../errors.ts';
import { traceDptHybrid } from '../models/dpt-hybrid.ts';
import { bicubicMatrix } from '../nn/resize-matrix.ts';
import { expectDType, float32, type Tensor } from '../tensor/tensor.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type NetworkSet, runForOne } from './network-set.ts';

type Float32 = Tensor<'float32'>;

export interface ImageCondition {
  readonly config: ImageConditionConfig;
  /** Pixels [n, 3, h, w] in [-1, 1] → embeddings [n, width]. Throws `invalid-argument` for a model without an image encoder. */
  embed(pixels: Float32, signal?: AbortSignal): Promise<Float32>;
  /** Pixels [1, 3, h, w] in [-1, 1] → depth [1, 1, h', w'], near is large. Throws `invalid-argument` for a model without a depth network. */
  depth(pixels: Float32, signal?: AbortSignal): Promise<Float32>;
  /** Mean and deviation of embeddings, where the model has them. */
  statistics(): Promise<EmbeddingStatistics | undefined>;
}

/** MiDaS's size: the side that needs less scaling comes to `side`, both are multiples of 32 (its transform `minimal`). */
function depthSize(height: number, width: number, side: number): readonly [number, number] {
  const [down, across] = [side / height, side / width];
  const scale = Math.abs(1 - across) < Math.abs(1 - down) ? across : down;
  const of = (size: number): number => Math.max(32, Math.round((scale * size) / 32) * 32);
  return [of(height), of(width)];
}

function lacks(label: string, what: string, instead: string): StableDiffusionError {
  return new StableDiffusionError('invalid-argument', `${label} was saved without its ${what}. Give ${instead}.`);
}

export interface ImageConditionParts {
  readonly label: string;
  readonly config: ImageConditionConfig | null;
  readonly networks: NetworkSet;
  readonly parts: Readonly<Record<string, WeightSource>>;
}

/** Undefined for a model without such a condition. */
export function imageConditionOf({ label, config, networks, parts }: ImageConditionParts): ImageCondition | undefined {
  if (!config) return undefined;
  return {
    config,
    async embed(pixels, signal) {
      const network = config.kind === 'image_embedding' ? config.network : null;
      if (!network) throw lacks(label, 'image encoder', 'the embedding of the image (imageEmbedding)');
      const pixel_values = clipPixels(pixels, network.image_size);
      return runForOne(networks, { network: imageConditionPart, output: 'image_embeds' }, { pixel_values }, signal);
    },
    async depth(pixels, signal) {
      const network = config.kind === 'depth' ? config.network : null;
      const weights = parts[imageConditionPart];
      if (!network || !weights) throw lacks(label, 'depth network', 'the depth of the image (--depth-map FILE)');
      const [, , height = 1, width = 1] = pixels.shape;
      const size = depthSize(height, width, 16 * network.grid);
      const x = resizePlanes(pixels, bicubicMatrix(height, size[0]), bicubicMatrix(width, size[1]));
      // Used once for an image, and its size is the image's: not kept.
      await using program = await networks.engine.compile(traceDptHybrid(network, { size }), weights, {
        ...(signal ? { signal } : {}),
      });
      const { depth } = await program.run({ x }, signal ? { signal } : {});
      return expectDType(depth as Tensor, 'float32', 'depth');
    },
    async statistics() {
      const source = parts[imageStatisticsPart];
      if (!source || source.entries.size === 0) return undefined;
      const read = async (name: string): Promise<Float32> => {
        const { data } = toFloat32(await source.read(name));
        return float32([data.length], data);
      };
      return { mean: await read('mean'), std: await read('std') };
    },
  };
}
