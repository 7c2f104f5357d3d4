/**
 * The text encoder of LDM's first text-to-image models (`ldm.modules.encoders.modules.BERTEmbedder`, `TransformerEmbedder`): an encoder of
 * lucidrains' x-transformers, pre-norm, 8 heads of 64 for any width, over BERT's wordpieces.
 */

import type { BertEmbedderConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, attention, gelu, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { dropout } from '../nn/dropout.ts';
import { embedding } from '../nn/embedding.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { linearLayer } from '../nn/linear.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

const heads = 8;
const headWidth = 64;

function selfAttention(p: Params, x: Sym): Sym {
  return p.module(() => {
    const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) =>
      linearLayer(p.at(name), x, heads * headWidth, { bias: false }),
    ) as [Sym, Sym, Sym];
    return linearLayer(p.at('to_out'), attention(q, k, v, { heads }), fixedSize(x, -1));
  });
}

function feedForward(p: Params, x: Sym): Sym {
  const width = fixedSize(x, -1);
  return p.module(() => linearLayer(p.at('net.2'), gelu(linearLayer(p.at('net.0.0'), x, 4 * width)), width));
}

/** tokens int64 [b, n], n at most `max_seq_len` → embeddings [b, n, n_embed]. */
export function bertEmbedder(p: Params, config: BertEmbedderConfig, tokens: Sym): Sym {
  const { n_embed, n_layer, vocab_size, max_seq_len } = config;
  const transformer = p.at('transformer');
  const [, count = 1] = tokens.shape;
  const positions = transformer.at('pos_emb.emb').get('weight', [max_seq_len, n_embed]);
  const embedded = add(
    embedding(transformer.at('token_emb'), tokens, vocab_size, n_embed),
    slice(positions, 0, 0, count),
  );
  let x = dropout(transformer.at('emb_dropout'), embedded, config.embedding_dropout);
  for (let i = 0; i < 2 * n_layer; i++) {
    // Each layer is a list of a norm, the attention or feed-forward (in turns), and the residual sum.
    const layer = transformer.at('attn_layers.layers').at(i);
    const normed = layerNormLayer(layer.at(0), x);
    const branch = i % 2 === 0 ? selfAttention(layer.at(1), normed) : feedForward(layer.at(1), normed);
    x = layer.at(2).mark(add(branch, x));
  }
  return layerNormLayer(transformer.at('norm'), x);
}

/** tokens int64 [batch, tokens] → embeddings (the condition) and logits over the vocabulary, which only its pretraining used. */
export function traceBertEmbedder(config: BertEmbedderConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { tokens: { dtype: 'int64', shape: [dim('batch'), dim('tokens')] } },
    (p, given) => {
      const embeddings = bertEmbedder(p, config, need(given, 'tokens'));
      return { embeddings, logits: linearLayer(p.at('transformer.to_logits'), embeddings, config.vocab_size) };
    },
    options,
  );
}
