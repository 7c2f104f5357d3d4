/** Resized images as conditions, for super-resolution and layouts (`ldm.modules.encoders.modules.SpatialRescaler`). */

import type { SpatialRescalerConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Dim, dim, multiplyDims } from '../graph/dim.ts';
import { avgPool, resize } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { areaMatrix, resizeBy } from '../nn/resize-matrix.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** By how much each stage makes the image smaller, where that is a whole number. */
function divisor(config: SpatialRescalerConfig): number | undefined {
  const inverse = 1 / config.multiplier;
  return Number.isInteger(inverse) ? inverse : undefined;
}

/** One stage of `torch.nn.functional.interpolate(x, scale_factor)`. */
function interpolate(config: SpatialRescalerConfig, x: Sym): Sym {
  const { method, multiplier } = config;
  switch (method) {
    case 'nearest':
    case 'bilinear':
    case 'bicubic':
      return resize(x, method, multiplier);
    case 'area': {
      const [, , height, width] = x.shape;
      const kernel = divisor(config);
      if (
        kernel !== undefined &&
        (typeof height !== 'number' || typeof width !== 'number' || (height % kernel === 0 && width % kernel === 0))
      )
        return avgPool(x, { kernel });
      const along = (axis: number): readonly (readonly number[])[] =>
        areaMatrix(fixedSize(x, axis), Math.floor(fixedSize(x, axis) * multiplier));
      return resizeBy(x, along(2), along(3));
    }
    case 'linear':
    case 'trilinear':
      throw new StableDiffusionError(
        'config-invalid',
        `SpatialRescaler: the method ${method} is not for images; use nearest, bilinear, bicubic or area.`,
      );
  }
}

/** x [b, in_channels, h, w] → [b, out_channels or in_channels, h', w'], each stage multiplying the size and rounding down. */
export function spatialRescaler(p: Params, config: SpatialRescalerConfig, x: Sym): Sym {
  let h = x;
  for (let stage = 0; stage < config.n_stages; stage++) h = interpolate(config, h);
  return config.out_channels === null
    ? h
    : convLayer(p.at('channel_mapper'), h, config.out_channels, { kernel: 1, bias: config.bias });
}

/** Height and width. */
export type ImageSize = readonly [height: number, width: number];

/**
 * x [batch, in_channels, height, width] → out. Where `multiplier` or its inverse is a whole number the graph serves every size (for the method
 * `area`: those it divides); else, and for other sizes, it is made for one `size`. Without `out_channels`, x may have any `channels`.
 */
export function traceSpatialRescaler(
  config: SpatialRescalerConfig,
  options: NetworkTraceOptions & { readonly size?: ImageSize | undefined; readonly channels?: number } = {},
): Graph {
  const { n_stages, multiplier, method, in_channels, out_channels } = config;
  const inverse = divisor(config);
  if (n_stages > 0 && !options.size && inverse === undefined && (!Number.isInteger(multiplier) || method === 'area')) {
    throw new StableDiffusionError(
      'invalid-argument',
      `A SpatialRescaler with multiplier ${multiplier} needs a fixed image size. Give one.`,
    );
  }
  const unit = method === 'area' && inverse !== undefined ? inverse ** n_stages : 1;
  const size: readonly [Dim, Dim] = options.size ?? [
    multiplyDims(unit, dim('height')),
    multiplyDims(unit, dim('width')),
  ];
  const channels = out_channels === null ? (options.channels ?? in_channels) : in_channels;
  return traceNetwork(
    { x: { dtype: 'float32', shape: [dim('batch'), channels, ...size] } },
    (p, given) => ({ out: spatialRescaler(p, config, need(given, 'x')) }),
    options,
  );
}
