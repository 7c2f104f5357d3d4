/**
 * T2I-Adapter: a picture becomes features that are added to the UNet after each level (Mou et al. 2023, arXiv 2302.08453; TencentARC's
 * `Adapter` with `sk=True, use_conv=False`, and `Adapter_light`). `extensions/adapter.ts` adds them.
 */

import type { T2IAdapterConfig } from '../config/network-config.ts';
import { type Dim, dim, multiplyDims } from '../graph/dim.ts';
import { add, relu, reshape, transpose } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { averageHalf } from '../nn/resample.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Squares of `factor` pixels to channels: [b, c, factor h, factor w] → [b, c · factor², h, w] (`torch.nn.PixelUnshuffle`). */
function pixelUnshuffle(x: Sym, factor: number, height: Dim, width: Dim): Sym {
  const [b = 1] = x.shape;
  const channels = fixedSize(x, 1);
  const squares = transpose(reshape(x, [b, channels, height, factor, width, factor]), [0, 1, 3, 5, 2, 4]);
  return reshape(squares, [b, channels * factor ** 2, height, width]);
}

function block(p: Params, x: Sym, width: number, halve: boolean): Sym {
  return p.module(() => {
    const small = halve ? averageHalf(x) : x;
    const input = fixedSize(small, 1) === width ? small : convLayer(p.at('in_conv'), small, width, { kernel: 1 });
    const h = relu(convLayer(p.at('block1'), input, width, { kernel: 3 }));
    return add(convLayer(p.at('block2'), h, width, { kernel: 1 }), input);
  });
}

/** The features of every level, from the unshuffled pixels. SDXL's adapter (`FullAdapterXL`) halves once, before the third. */
function fullLevels(
  p: Params,
  { adapter_type, channels, num_res_blocks: count }: T2IAdapterConfig,
  pixels: Sym,
): Sym[] {
  const isHalved = (level: number): boolean => (adapter_type === 'full_xl' ? level === 2 : level > 0);
  let h = convLayer(p.at('conv_in'), pixels, channels[0] ?? 1, { kernel: 3 });
  return channels.map((features, level) => {
    for (let i = 0; i < count; i++)
      h = block(p.at('body').at(level * count + i), h, features, i === 0 && isHalved(level));
    return h;
  });
}

/** `extractor`: a quarter of the width inside, two 3x3 convolutions a block. */
function lightLevel(p: Params, x: Sym, width: number, count: number): Sym {
  return p.module(() => {
    const inner = Math.floor(width / 4);
    let h = convLayer(p.at('in_conv'), x, inner, { kernel: 1 });
    for (let i = 0; i < count; i++) {
      const input = h;
      const scope = p.at('body').at(i);
      h = scope.module(() => {
        const first = relu(convLayer(scope.at('block1'), input, inner, { kernel: 3 }));
        return add(convLayer(scope.at('block2'), first, inner, { kernel: 3 }), input);
      });
    }
    return convLayer(p.at('out_conv'), h, width, { kernel: 1 });
  });
}

function lightLevels(p: Params, { channels, num_res_blocks: count }: T2IAdapterConfig, pixels: Sym): Sym[] {
  let h = pixels;
  return channels.map((features, level) => {
    h = lightLevel(p.at('body').at(level), level > 0 ? averageHalf(h) : h, features, count);
    return h;
  });
}

/**
 * The features of every level of the UNet, from a picture [b, in_channels, factor h, factor w] in [0, 1]. Height and width are those of the
 * first features: the latent's, or half of them for SDXL's adapter.
 */
export function t2iAdapter(
  p: Params,
  config: T2IAdapterConfig,
  picture: Sym,
  { height, width }: { readonly height: Dim; readonly width: Dim },
): readonly Sym[] {
  const pixels = pixelUnshuffle(picture, config.downscale_factor, height, width);
  return config.adapter_type === 'light' ? lightLevels(p, config, pixels) : fullLevels(p, config, pixels);
}

/** picture [batch, in_channels, height, width] in [0, 1] → adapter.0 …, one for each level of the UNet. */
export function traceT2IAdapter(config: T2IAdapterConfig, options?: NetworkTraceOptions): Graph {
  const { channels, downscale_factor: factor } = config;
  const levels = config.adapter_type === 'full_xl' ? 2 : 2 ** (channels.length - 1);
  const [height, width] = [multiplyDims(levels, dim('height')), multiplyDims(levels, dim('width'))];
  const shape = [dim('batch'), config.in_channels, multiplyDims(factor, height), multiplyDims(factor, width)];
  return traceNetwork(
    { image: { dtype: 'float32', shape } },
    (p, given) => {
      const features = t2iAdapter(p, config, need(given, 'image'), { height, width });
      return Object.fromEntries(features.map((value, level) => [`adapter.${level}`, value]));
    },
    options,
  );
}
