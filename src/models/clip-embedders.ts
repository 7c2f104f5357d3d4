/** OpenAI's CLIP as a condition (`ldm.modules.encoders.modules.FrozenClipImageEmbedder`, `FrozenCLIPTextEmbedder`). */

import type { ClipImageEmbedderConfig, ClipTextEmbedderConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { constant, div, expand, reshape, sub } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import {
  antialiasMatrix,
  bicubicAlignedMatrix,
  composeMatrices,
  resizeBy,
  type ResizeMatrix,
} from '../nn/resize-matrix.ts';
import { float32 } from '../tensor/tensor.ts';
import { encodeImage, encodeText, openAiTextInput, unitRows } from './openai-clip.ts';
import type { ImageSize } from './spatial-rescaler.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Means and standard deviations of the pixels CLIP was trained on, in [0, 1]. */
const pixelMean = [0.48145466, 0.4578275, 0.40821073];
const pixelDeviation = [0.26862954, 0.26130258, 0.27577711];

/** Image in [-1, 1] [b, 3, h, w], of known size → [b, 3, side, side], normalised. The original's side is 224. */
function preprocess(image: Sym, side: number, antialias: boolean): Sym {
  const sizes = [fixedSize(image, 2), fixedSize(image, 3)];
  const blurred = antialias && Math.max(...sizes) > side;
  const [rows, columns] = sizes.map((size) => {
    const bicubic = bicubicAlignedMatrix(size, side);
    return blurred ? composeMatrices(bicubic, antialiasMatrix(size, size / side)) : bicubic;
  }) as [ResizeMatrix, ResizeMatrix];
  const perChannel = (values: readonly number[]): Sym => constant(image, float32([1, 3, 1, 1], values));
  // (x + 1) / 2, less the mean, over the deviation
  return div(
    sub(resizeBy(image, rows, columns), perChannel(pixelMean.map((mean) => 2 * mean - 1))),
    perChannel(pixelDeviation.map((deviation) => 2 * deviation)),
  );
}

/** image in [-1, 1] [b, 3, h, w] → [b, embed_dim]. */
export function clipImageEmbedder(p: Params, config: ClipImageEmbedderConfig, image: Sym): Sym {
  return encodeImage(p.at('model'), config.model, preprocess(image, config.model.image_resolution, config.antialias));
}

/** tokens int64 [b, context_length] → [b, n_repeat, embed_dim]. */
export function clipTextEmbedder(p: Params, config: ClipTextEmbedderConfig, tokens: Sym): Sym {
  const [b = 1] = tokens.shape;
  const embedded = encodeText(p.at('model'), config.model, tokens);
  const { embed_dim } = config.model;
  return expand(reshape(config.normalize ? unitRows(embedded) : embedded, [b, 1, embed_dim]), [
    b,
    config.n_repeat,
    embed_dim,
  ]);
}

/** image [batch, 3, height, width] of one size → embeddings [batch, embed_dim]. */
export function traceClipImageEmbedder(
  config: ClipImageEmbedderConfig,
  options: NetworkTraceOptions & { readonly size?: ImageSize } = {},
): Graph {
  const side = config.model.image_resolution;
  const size = options.size ?? [side, side];
  return traceNetwork(
    { image: { dtype: 'float32', shape: [dim('batch'), 3, ...size] } },
    (p, given) => ({ embeddings: clipImageEmbedder(p, config, need(given, 'image')) }),
    options,
  );
}

/** tokens int64 [batch, context_length] → embeddings [batch, n_repeat, embed_dim]. */
export function traceClipTextEmbedder(config: ClipTextEmbedderConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { tokens: openAiTextInput(config.model) },
    (p, given) => ({ embeddings: clipTextEmbedder(p, config, need(given, 'tokens')) }),
    options,
  );
}
