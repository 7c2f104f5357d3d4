/**
 * TAESD, the small autoencoder for previews (madebyollin/taesd; `diffusers` AutoencoderTiny, whose parameter names these are).
 *
 * Images are in [-1, 1] on the outside and in [0, 1] inside; latents are those the UNet works on, already scaled.
 */

import type { TaesdConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, clamp, div, mul, relu, sub, tanh } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { double } from '../nn/resample.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** `AutoencoderTinyBlock`: three convolutions with ReLU between, added to x, ReLU. */
function block(p: Params, x: Sym, out: number): Sym {
  return p.module(() => {
    let h = relu(convLayer(p.at('conv.0'), x, out, { kernel: 3 }));
    h = relu(convLayer(p.at('conv.2'), h, out, { kernel: 3 }));
    h = convLayer(p.at('conv.4'), h, out, { kernel: 3 });
    return relu(add(h, fixedSize(x, 1) === out ? x : convLayer(p.at('skip'), x, out, { kernel: 1, bias: false })));
  });
}

/** Numbers the layers of a Sequential in order of creation. */
function sequence(
  p: Params,
  start: Sym,
): { readonly next: (layer: (scope: Params, x: Sym) => Sym) => void; readonly value: () => Sym } {
  let x = start;
  let index = 0;
  return {
    next: (layer) => {
      const scope = p.at(index++);
      x = scope.mark(layer(scope, x));
    },
    value: () => x,
  };
}

/** Image in [-1, 1] [b, in_channels, h, w] → latents [b, latent_channels, h / 8, w / 8] (one halving for each stage after the first). */
export function encodeTaesd(p: Params, config: TaesdConfig, image: Sym): Sym {
  const encoder = p.at('encoder');
  return encoder.module(() => {
    const layers = sequence(encoder.at('layers'), div(add(image, 1), 2));
    for (const [stage, blocks] of config.num_encoder_blocks.entries()) {
      const channels = config.encoder_block_out_channels[stage] ?? 1;
      layers.next((scope, x) =>
        convLayer(scope, x, channels, stage === 0 ? { kernel: 3 } : { kernel: 3, stride: 2, bias: false }),
      );
      for (let i = 0; i < blocks; i++) layers.next((scope, x) => block(scope, x, channels));
    }
    layers.next((scope, x) => convLayer(scope, x, config.latent_channels, { kernel: 3 }));
    return layers.value();
  });
}

/** Latents [b, latent_channels, h, w], softly clamped to ±3 → image [b, out_channels, 8 · h, 8 · w], about in [-1, 1]. */
export function decodeTaesd(p: Params, config: TaesdConfig, z: Sym): Sym {
  const decoder = p.at('decoder');
  return decoder.module(() => {
    const layers = sequence(decoder.at('layers'), mul(tanh(div(z, 3)), 3));
    const last = config.num_decoder_blocks.length - 1;
    layers.next((scope, x) => convLayer(scope, x, config.decoder_block_out_channels[0] ?? 1, { kernel: 3 }));
    layers.next((_, x) => relu(x));
    for (const [stage, blocks] of config.num_decoder_blocks.entries()) {
      const channels = config.decoder_block_out_channels[stage] ?? 1;
      for (let i = 0; i < blocks; i++) layers.next((scope, x) => block(scope, x, channels));
      if (stage < last) layers.next((_, x) => double(x));
      layers.next((scope, x) =>
        convLayer(scope, x, stage < last ? channels : config.out_channels, { kernel: 3, bias: stage === last }),
      );
    }
    return sub(mul(layers.value(), 2), 1);
  });
}

/** Latents → [0, 1], as the original stores them in images (`scale_latents`). */
export function scaleLatents(config: TaesdConfig, z: Sym): Sym {
  return clamp(add(div(z, 2 * config.latent_magnitude), config.latent_shift), 0, 1);
}

function imageInput(channels: number): InputSpec {
  return { dtype: 'float32', shape: [dim('batch'), channels, dim('height'), dim('width')] };
}

/** image [batch, in_channels, height, width] → encoded, and scaled to [0, 1]. */
export function traceTaesdEncode(config: TaesdConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { image: imageInput(config.in_channels) },
    (p, given) => {
      const encoded = encodeTaesd(p, config, need(given, 'image'));
      return { encoded, scaled: scaleLatents(config, encoded) };
    },
    options,
  );
}

/** z [batch, latent_channels, height, width] → decoded [batch, out_channels, 8 · height, 8 · width]. */
export function traceTaesdDecode(config: TaesdConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { z: imageInput(config.latent_channels) },
    (p, given) => ({ decoded: decodeTaesd(p, config, need(given, 'z')) }),
    options,
  );
}
