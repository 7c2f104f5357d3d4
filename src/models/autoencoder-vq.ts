/** The vector-quantised autoencoder (`ldm.models.autoencoder.VQModel`, `VQModelInterface`; Esser et al. 2021). */

import type { VqConfig } from '../config/network-config.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import {
  add,
  argmin,
  gather,
  matmul,
  mean,
  mul,
  reshape,
  stopGradient,
  sub,
  sum,
  transpose,
} from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { decoder, encoder } from './autoencoder-layers.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Weight of one term of the codebook loss. */
const beta = 0.25;

export interface QuantizeOptions {
  /** Puts beta on the codebook's term instead of the commitment's, as the original's bug-compatible default and so every LDM checkpoint has it. Default true. */
  readonly legacy?: boolean;
}

function codebook(p: Params, config: Pick<VqConfig, 'n_embed' | 'embed_dim'>): Sym {
  return p.at('quantize.embedding').get('weight', [config.n_embed, config.embed_dim]);
}

export interface Quantized {
  /** z + (codebook row - z), as the straight-through estimator leaves it: [b, embed_dim, h, w]. */
  readonly quant: Sym;
  /** Codebook and commitment loss, a scalar. */
  readonly loss: Sym;
  /** Rows of the codebook, int64: flat [b · h · w], or [b, h, w] with `sane_index_shape`. */
  readonly indices: Sym;
}

/** Replaces each latent pixel by the nearest row of the codebook (taming `VectorQuantizer2`). z [b, embed_dim, h, w]. */
export function quantize(
  p: Params,
  config: Pick<VqConfig, 'n_embed' | 'embed_dim' | 'sane_index_shape'>,
  z: Sym,
  options: QuantizeOptions = {},
): Quantized {
  const table = codebook(p, config);
  const [b = 1, c = 1, h = 1, w = 1] = z.shape;
  const pixels = transpose(z, [0, 2, 3, 1]); // [b, h, w, c]
  const flat = reshape(pixels, [multiplyDims(b, multiplyDims(h, w)), c]);
  // |z - e|² = |z|² + |e|² - 2 z·e
  const squares = add(sum(mul(flat, flat), [1], { keepDims: true }), sum(mul(table, table), [1]));
  const indices = argmin(sub(squares, mul(matmul(flat, table, { transposeB: true }), 2)), 1);
  const rows = reshape(gather(table, indices), pixels.shape);
  const square = (x: Sym): Sym => mean(mul(x, x));
  const commitment = square(sub(stopGradient(rows), pixels));
  const learning = square(sub(rows, stopGradient(pixels)));
  return {
    // The gradient passes the codebook by, straight to z.
    quant: transpose(add(pixels, stopGradient(sub(rows, pixels))), [0, 3, 1, 2]),
    loss: options.legacy === false ? add(mul(commitment, beta), learning) : add(commitment, mul(learning, beta)),
    indices: config.sane_index_shape ? reshape(indices, [b, h, w]) : indices,
  };
}

/** Codebook rows for indices int64 [b, h, w] → [b, embed_dim, h, w] (`get_codebook_entry`). */
export function codebookEntry(p: Params, config: VqConfig, indices: Sym): Sym {
  return transpose(gather(codebook(p, config), indices), [0, 3, 1, 2]);
}

/** Image [b, in_channels, h, w] → latents before the codebook [b, embed_dim, h / f, w / f]. */
export function encodeVq(p: Params, config: VqConfig, image: Sym): Sym {
  return convLayer(p.at('quant_conv'), encoder(p.at('encoder'), config.ddconfig, image), config.embed_dim, {
    kernel: 1,
  });
}

/** Latents [b, embed_dim, h, w], without quantisation → image [b, out_ch, f · h, f · w]. */
export function decodeVq(p: Params, config: VqConfig, z: Sym): Sym {
  return decoder(
    p.at('decoder'),
    config.ddconfig,
    convLayer(p.at('post_quant_conv'), z, config.ddconfig.z_channels, { kernel: 1 }),
  );
}

function latents(config: VqConfig): InputSpec {
  return { dtype: 'float32', shape: [dim('batch'), config.embed_dim, dim('height'), dim('width')] };
}

/** image [batch, in_channels, height, width] → prequant, and through the codebook: quant, loss, indices. */
export function traceVqEncode(config: VqConfig, options?: NetworkTraceOptions): Graph {
  const image: InputSpec = {
    dtype: 'float32',
    shape: [dim('batch'), config.ddconfig.in_channels, dim('height'), dim('width')],
  };
  return traceNetwork(
    { image },
    (p, given) => {
      const prequant = encodeVq(p, config, need(given, 'image'));
      return { prequant, ...quantize(p, config, prequant) };
    },
    options,
  );
}

/** z [batch, embed_dim, height, width] → quant, loss, indices. */
export function traceVqQuantize(config: VqConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork({ z: latents(config) }, (p, given) => ({ ...quantize(p, config, need(given, 'z')) }), options);
}

/** z [batch, embed_dim, height, width] → decoded; with `quantize` it goes through the codebook first, as VQModelInterface does by default. */
export function traceVqDecode(
  config: VqConfig,
  options: NetworkTraceOptions & { readonly quantize?: boolean } = {},
): Graph {
  return traceNetwork(
    { z: latents(config) },
    (p, given) => {
      const z = need(given, 'z');
      return {
        decoded: decodeVq(p, config, (options.quantize ?? config.interface) ? quantize(p, config, z).quant : z),
      };
    },
    options,
  );
}

/** codes int64 [batch, height, width] → entry [batch, embed_dim, height, width]. */
export function traceVqCodes(config: VqConfig, options?: NetworkTraceOptions): Graph {
  const codes: InputSpec = { dtype: 'int64', shape: [dim('batch'), dim('height'), dim('width')] };
  return traceNetwork({ codes }, (p, given) => ({ entry: codebookEntry(p, config, need(given, 'codes')) }), options);
}
