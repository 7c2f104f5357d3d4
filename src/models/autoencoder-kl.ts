/**
 * The KL-regularised autoencoder of latent diffusion (`ldm.models.autoencoder.AutoencoderKL`, Rombach et al. 2022).
 *
 * The factor on the latents (`scale_factor`, 0.18215 for SD v1) belongs to the diffusion and is not applied here.
 */

import type { KlConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { dim } from '../graph/dim.ts';
import { add, chunk, clamp, exp, mul, sub, sum } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { decoder, encoder } from './autoencoder-layers.ts';
import { circularPadding } from '../extensions/seamless.ts';
import type { UNetHooks } from '../nn/hooks.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** A diagonal Gaussian over latents [b, embed_dim, h, w] (`DiagonalGaussianDistribution`). */
export interface Posterior {
  /** Mean and logarithm of the variance as the network gives them, one behind the other: [b, 2 · embed_dim, h, w]. */
  readonly moments: Sym;
  readonly mean: Sym;
  /** Clamped to [-30, 20]. */
  readonly logvar: Sym;
}

/** Image in [-1, 1] [b, in_channels, h, w] → the posterior of its latents. */
export function encodeKl(p: Params, config: KlConfig, image: Sym, pad?: UNetHooks['padding']): Posterior {
  if (!config.ddconfig.double_z)
    throw new StableDiffusionError('config-invalid', 'AutoencoderKL needs double_z: true in its ddconfig.');
  const moments = convLayer(
    p.at('quant_conv'),
    encoder(p.at('encoder'), { ...config.ddconfig, pad }, image),
    2 * config.embed_dim,
    { kernel: 1 },
  );
  const [mean, logvar] = chunk(moments, 1, 2) as [Sym, Sym];
  return { moments, mean, logvar: clamp(logvar, -30, 20) };
}

/** mean + standard deviation · noise. */
export function samplePosterior({ mean, logvar }: Pick<Posterior, 'mean' | 'logvar'>, noise: Sym): Sym {
  return add(mean, mul(exp(mul(logvar, 0.5)), noise));
}

/** Divergence from the standard normal distribution, in nats: [b]. */
export function klDivergence({ mean, logvar }: Pick<Posterior, 'mean' | 'logvar'>): Sym {
  return mul(sum(sub(sub(add(mul(mean, mean), exp(logvar)), 1), logvar), [1, 2, 3]), 0.5);
}

/** Latents [b, embed_dim, h, w] → image [b, out_ch, f · h, f · w], about in [-1, 1] and not clamped. */
export function decodeKl(p: Params, config: KlConfig, z: Sym, pad?: UNetHooks['padding']): Sym {
  return decoder(
    p.at('decoder'),
    { ...config.ddconfig, pad },
    convLayer(p.at('post_quant_conv'), z, config.ddconfig.z_channels, { kernel: 1 }),
  );
}

/** The padding of a seamless picture. */
const paddingOf = (options?: NetworkTraceOptions): UNetHooks['padding'] =>
  options?.seamless && circularPadding(options.seamless);

/** image [batch, in_channels, height, width] → moments, mean, logvar, kl. */
export function traceKlEncode(config: KlConfig, options?: NetworkTraceOptions): Graph {
  const image: InputSpec = {
    dtype: 'float32',
    shape: [dim('batch'), config.ddconfig.in_channels, dim('height'), dim('width')],
  };
  return traceNetwork(
    { image },
    (p, given) => {
      const posterior = encodeKl(p, config, need(given, 'image'), paddingOf(options));
      return { ...posterior, kl: klDivergence(posterior) };
    },
    options,
  );
}

/** mean, logvar and noise [batch, embed_dim, height, width] → sample. */
export function traceKlSample(config: KlConfig, options?: NetworkTraceOptions): Graph {
  const latents: InputSpec = { dtype: 'float32', shape: [dim('batch'), config.embed_dim, dim('height'), dim('width')] };
  const inputs = { mean: latents, logvar: latents, noise: latents };
  return traceNetwork(
    inputs,
    (_, given) => ({
      sample: samplePosterior({ mean: need(given, 'mean'), logvar: need(given, 'logvar') }, need(given, 'noise')),
    }),
    options,
  );
}

/** z [batch, embed_dim, height, width] → decoded [batch, out_ch, f · height, f · width]. */
export function traceKlDecode(config: KlConfig, options?: NetworkTraceOptions): Graph {
  const z: InputSpec = { dtype: 'float32', shape: [dim('batch'), config.embed_dim, dim('height'), dim('width')] };
  return traceNetwork(
    { z },
    (p, given) => ({ decoded: decodeKl(p, config, need(given, 'z'), paddingOf(options)) }),
    options,
  );
}
