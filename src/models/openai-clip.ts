/** CLIP under the original's names, with a vision transformer (openai/CLIP `clip.model.CLIP`; Radford et al. 2021). */

import type { OpenAiClipConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, div, exp, matmul, mul, reshape, slice, sqrt, sum, transpose } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { embedding } from '../nn/embedding.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { openAiClipLayers } from '../nn/openai-clip-layers.ts';
import { largestId, takeToken } from '../nn/take-token.ts';
import { visionTokens } from '../nn/vision-tokens.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Width of a head in the original's vision transformers. */
const visionHeadWidth = 64;

/** `encode_image`: normalised pixels [b, 3, image_resolution, image_resolution] → embedding [b, embed_dim], not normalised. */
export function encodeImage(p: Params, config: OpenAiClipConfig, image: Sym): Sym {
  const { vision_width: width, vision_patch_size: patch, vision_layers: layers, image_resolution, embed_dim } = config;
  const visual = p.at('visual');
  return visual.module(() => {
    const tokens = visionTokens(
      image,
      visual.at('conv1').get('weight', [width, 3, patch, patch]),
      visual.get('class_embedding', [width]),
    );
    const positions = visual.get('positional_embedding', [1 + Math.floor(image_resolution / patch) ** 2, width]);
    const x = layerNormLayer(visual.at('ln_pre'), add(tokens, positions));
    const last = openAiClipLayers(visual.at('transformer'), x, {
      layers,
      heads: Math.floor(width / visionHeadWidth),
      causal: false,
    });
    const [b = 1] = image.shape;
    const pooled = layerNormLayer(visual.at('ln_post'), reshape(slice(last, 1, 0, 1), [b, width]));
    return matmul(pooled, visual.get('proj', [width, embed_dim]));
  });
}

/** `encode_text`: ids int64 [b, context_length] → embedding [b, embed_dim] at the largest id (the end of the text), not normalised. */
export function encodeText(p: Params, config: OpenAiClipConfig, ids: Sym): Sym {
  const {
    transformer_width: width,
    transformer_heads: heads,
    transformer_layers: layers,
    context_length,
    vocab_size,
    embed_dim,
  } = config;
  const words = embedding(p.at('token_embedding'), ids, vocab_size, width);
  const x = add(words, p.get('positional_embedding', [context_length, width]));
  const last = layerNormLayer(
    p.at('ln_final'),
    openAiClipLayers(p.at('transformer'), x, { layers, heads, causal: true }),
  );
  return matmul(takeToken(last, largestId(ids), context_length), p.get('text_projection', [width, embed_dim]));
}

/** x [b, d] with every row scaled to length 1. */
export function unitRows(x: Sym): Sym {
  return div(x, sqrt(sum(mul(x, x), [1], { keepDims: true })));
}

export function openAiImageInput(config: OpenAiClipConfig): InputSpec {
  return { dtype: 'float32', shape: [dim('batch'), 3, config.image_resolution, config.image_resolution] };
}

export function openAiTextInput(config: OpenAiClipConfig): InputSpec {
  return { dtype: 'int64', shape: [dim('batch'), config.context_length] };
}

/** image [batch, 3, side, side] → image_embeds [batch, embed_dim]. */
export function traceOpenAiClipImage(config: OpenAiClipConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { image: openAiImageInput(config) },
    (p, given) => ({ image_embeds: encodeImage(p, config, need(given, 'image')) }),
    options,
  );
}

/** text int64 [batch, context_length] → text_embeds [batch, embed_dim]. */
export function traceOpenAiClipText(config: OpenAiClipConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { text: openAiTextInput(config) },
    (p, given) => ({ text_embeds: encodeText(p, config, need(given, 'text')) }),
    options,
  );
}

/** image_embeds [images, embed_dim], text_embeds [texts, embed_dim] → logits_per_image [images, texts] and logits_per_text, its transpose. */
export function traceOpenAiClipLogits(config: OpenAiClipConfig, options?: NetworkTraceOptions): Graph {
  const rows = (count: string): InputSpec => ({ dtype: 'float32', shape: [dim(count), config.embed_dim] });
  return traceNetwork(
    { image_embeds: rows('images'), text_embeds: rows('texts') },
    (p, given) => {
      const images = mul(unitRows(need(given, 'image_embeds')), exp(p.get('logit_scale', [])));
      const logits = matmul(images, unitRows(need(given, 'text_embeds')), { transposeB: true });
      return { logits_per_image: logits, logits_per_text: transpose(logits, [1, 0]) };
    },
    options,
  );
}
