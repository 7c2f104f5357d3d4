/** A loaded classifier of noisy latents or pictures, which guides sampling: the gradient of the log-probability of classes. */

import { type EncoderUNetConfig, encoderUNetConfigSchema, type UNetConfig } from '../config/network-config.ts';
import { validated } from '../config/validate.ts';
import type { Latent } from '../diffusion/denoiser.ts';
import type { Engine } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { traceClassifierGuide } from '../models/classifier-guide.ts';
import { expectDType, float32, int64, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { assertNetworksMatch } from './network-set.ts';

export interface Classifier extends AsyncDisposable {
  readonly label: string;
  /** Number of classes. */
  readonly classes: number;
  /** Channels and side of what it judges. */
  readonly channels: number;
  readonly side: number;
  /** ∇ log p(class | x) of each item, [b, c, side, side]; x at this timestep, in the variance-preserving space. */
  gradient(x: Latent, timestep: number, classes: readonly number[], signal?: AbortSignal): Promise<Latent>;
}

export interface ClassifierOptions {
  readonly engine: Engine;
  readonly config: EncoderUNetConfig;
  readonly weights: WeightSource;
}

/** Compiles the classifier. Throws `weights-mismatch`. */
export async function openClassifier({ engine, config, weights }: ClassifierOptions): Promise<Classifier> {
  assertNetworksMatch([{ config, weights }]);
  const program = await engine.compile(traceClassifierGuide(config), weights);
  const side = typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 0);
  const { label } = weights;
  return {
    label,
    classes: config.out_channels,
    channels: config.in_channels,
    side,
    async gradient(x, timestep, classes, signal) {
      const count = x.shape[0] ?? 1;
      if (x.shape[1] !== config.in_channels || x.shape[2] !== side || x.shape[3] !== side)
        throw new StableDiffusionError(
          'shape-mismatch',
          `${label} judges [${config.in_channels}, ${side}, ${side}], and the run works on [${x.shape.slice(1).join(', ')}]. Use the model and the size that it was trained with.`,
        );
      const timesteps = float32([count], new Float32Array(count).fill(timestep));
      const made = await program.run({ x, timesteps, y: int64([count], classes) }, signal ? { signal } : {});
      return expectDType(made['grad.x'] as Tensor, 'float32');
    },
    [Symbol.asyncDispose]: () => program.dispose(),
  };
}

/**
 * The classifier that latent-diffusion's `NoisyLatentImageClassifier` makes from a diffusion model's UNet: its first half over the latents alone,
 * with the head that the weights have. Throws `weights-mismatch` where they have none.
 */
export function latentClassifierConfig(unet: UNetConfig, weights: WeightSource, latentSide: number): EncoderUNetConfig {
  const shapeOf = (name: string): readonly number[] | undefined => weights.entries.get(name)?.shape;
  const heads: readonly (readonly [EncoderUNetConfig['pool'], number | undefined])[] = [
    ['attention', shapeOf('out.2.c_proj.weight')?.[0]],
    ['adaptive', shapeOf('out.3.weight')?.length === 4 ? shapeOf('out.3.weight')?.[0] : undefined],
    ['spatial_v2', shapeOf('out.3.weight')?.length === 2 ? shapeOf('out.3.weight')?.[0] : undefined],
    ['spatial', shapeOf('out.2.weight')?.length === 2 ? shapeOf('out.2.weight')?.[0] : undefined],
  ];
  const [pool, classes] = heads.find(([, count]) => count !== undefined) ?? [];
  if (pool === undefined || classes === undefined)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${weights.label} is not a classifier: it has none of the heads of EncoderUNetModel (out.2.c_proj, out.3, out.2).`,
    );
  return latentClassifier(unet, { pool, classes, side: latentSide }, `the classifier ${weights.label}`);
}

export interface LatentClassifierHead {
  readonly pool: EncoderUNetConfig['pool'];
  readonly classes: number;
  /** Of the latents. */
  readonly side: number;
}

/** As `EncoderUNetModel` takes the parameters of the diffusion model's UNet, ignoring those that it does not have. Throws `config-invalid`. */
export function latentClassifier(
  unet: UNetConfig,
  { pool, classes, side }: LatentClassifierHead,
  what: string,
): EncoderUNetConfig {
  const known = new Set(Object.keys(encoderUNetConfigSchema.unwrap().shape));
  return validated(
    encoderUNetConfigSchema,
    {
      ...Object.fromEntries(
        Object.entries(unet).filter(([name, value]) => known.has(name) && !(name === 'num_heads' && value === -1)),
      ),
      kind: 'encoder_unet',
      image_size: side,
      in_channels: unet.out_channels,
      out_channels: classes,
      pool,
    },
    what,
  );
}
