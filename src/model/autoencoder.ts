/**
 * The autoencoder of a latent diffusion model: images to a posterior, draws from it, latents to images. Latents are not scaled here.
 *
 * Between encoding and sampling there is one tensor, which can be cached: the moments [b, 2c, h, w] of a KL autoencoder, and the
 * latents [b, c, h, w] themselves of a VQ autoencoder or of none.
 */

import type { PatchOptions } from '../diffusion/patches.ts';
import type { SeamlessAxes } from '../extensions/seamless.ts';
import type { FirstStageConfig } from '../config/network-config.ts';
import { checkSizes } from '../engine/feeds.ts';
import type { Engine } from '../engine/engine.ts';
import { bindShape } from '../graph/dim.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { NetworkSet, runForOne } from './network-set.ts';

type Float32 = Tensor<'float32'>;

/** Standard normal values of a shape. */
export type DrawNormal = (shape: readonly number[]) => Float32;

/** Mean and standard deviation of each latent element; without a deviation there is nothing to draw. */
export interface Posterior {
  readonly mean: Float32;
  readonly std?: Float32;
}

/** How the first stage works on a picture. */
export interface StageOptions {
  /** In overlapping patches, with bounded memory. */
  readonly patches?: PatchOptions | undefined;
  /** Axes along which the picture has no seam. */
  readonly seamless?: SeamlessAxes | undefined;
}

export interface Autoencoder {
  readonly config: FirstStageConfig;
  /** Pixels along each axis of one latent element. */
  readonly downsampling: number;
  /** Images [b, 3, H, W] in [-1, 1] → what latents are drawn from. */
  encode(images: Float32, signal?: AbortSignal): Promise<Float32>;
  /** Mean and deviation of what `encode` returned. */
  posterior(encoded: Float32): Posterior;
  /** A draw from the posterior, [b, c, h, w]. Draws noise only if the posterior has a deviation. */
  sample(encoded: Float32, draw: DrawNormal): Float32;
  /** VQ: each latent pixel [b, c, h, w] replaced by the nearest row of the codebook. Throws `invalid-argument` for other autoencoders. */
  quantize(latents: Float32, signal?: AbortSignal): Promise<Float32>;
  /** Latents → images [b, 3, H, W], about [-1, 1] and not clamped. */
  decode(latents: Float32, signal?: AbortSignal): Promise<Float32>;
  /** Throws `too-large` for latents [channels, height, width] that cannot be decoded, before they are computed. */
  checkDecodable(channels: number, height: number, width: number): void;
}

/** Elements `from` up to `from + share` of each item's channels. */
function channelsOf({ shape, data }: Float32, from: number, share: number): Float32 {
  const [b = 0, channels = 0, h = 0, w = 0] = shape;
  const size = h * w;
  const out = new Float32Array(b * share * size);
  for (let n = 0; n < b; n++)
    out.set(data.subarray((n * channels + from) * size, (n * channels + from + share) * size), n * share * size);
  return float32([b, share, h, w], out);
}

/** Moments → mean and exp(logvar / 2), logvar clamped to [-30, 20] (`DiagonalGaussianDistribution`). */
function gaussian(moments: Float32): Posterior {
  const half = (moments.shape[1] ?? 0) / 2;
  const logvar = channelsOf(moments, half, half);
  const std = logvar.data.map((value) => Math.exp(Math.fround(0.5 * Math.min(20, Math.max(-30, value)))));
  return { mean: channelsOf(moments, 0, half), std: float32(logvar.shape, std) };
}

/** An autoencoder with networks of its own. */
export interface OpenAutoencoder extends Autoencoder, AsyncDisposable {}

/** What runs the autoencoder's graphs. */
export type FirstStageNetworks = Pick<NetworkSet, 'run' | 'graph'>;

/** Pixels along each axis of one latent element. */
export const downsamplingOf = (config: FirstStageConfig): number =>
  config.kind === 'identity' ? 1 : 2 ** (config.ddconfig.ch_mult.length - 1);

/** The autoencoder `network` of a set; an identity has no network there. */
export function autoencoderOf(
  config: FirstStageConfig,
  networks: FirstStageNetworks,
  network = 'first_stage',
): Autoencoder {
  const isIdentity = config.kind === 'identity';
  const posterior = (encoded: Float32): Posterior => (config.kind === 'kl' ? gaussian(encoded) : { mean: encoded });
  return {
    config,
    downsampling: downsamplingOf(config),
    async encode(image, signal) {
      if (isIdentity) return image;
      const output = config.kind === 'vq' ? 'prequant' : 'moments';
      return runForOne(networks, { network, graph: 'encode', output }, { image }, signal);
    },
    posterior,
    sample(encoded, draw) {
      const { mean, std } = posterior(encoded);
      if (!std) return mean;
      const noise = draw(mean.shape).data;
      return float32(
        mean.shape,
        mean.data.map((value, i) => value + Math.fround((std.data[i] as number) * (noise[i] as number))),
      );
    },
    async quantize(z, signal) {
      return runForOne(networks, { network, graph: 'quantize', output: 'quant' }, { z }, signal);
    },
    async decode(z, signal) {
      if (isIdentity) return z;
      return runForOne(networks, { network, graph: 'decode', output: 'decoded' }, { z }, signal);
    },
    checkDecodable(channels, height, width) {
      if (isIdentity) return;
      const graph = networks.graph({ network, graph: 'decode', outputs: ['decoded'] });
      const bindings = new Map<string, number>();
      for (const { name, value } of graph.inputs) bindShape(name, value.shape, [1, channels, height, width], bindings);
      checkSizes(graph, bindings);
    },
  };
}

/** An autoencoder alone; `weights` are its own, under canonical names. Disposing of it frees its compiled graphs. */
export function openAutoencoder(config: FirstStageConfig, engine: Engine, weights: WeightSource): OpenAutoencoder {
  const named = new Map([['first_stage', { config, weights }]]);
  const networks = new NetworkSet({ label: weights.label, engine, networks: named });
  return { ...autoencoderOf(config, networks), [Symbol.asyncDispose]: () => networks.dispose() };
}
