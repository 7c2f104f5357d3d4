/**
 * The style adapter of T2I-Adapter: hidden states of CLIP's image encoder become a few tokens behind the text's (Mou et al. 2023,
 * arXiv 2302.08453; TencentARC's `StyleAdapter`).
 */

import type { T2IStyleConfig } from '../config/network-config.ts';
import { addDims, dim } from '../graph/dim.ts';
import { concat, expand, matmul, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { residualAttentionBlock } from '../nn/openai-clip-layers.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** hidden_states [batch, tokens, width] → style_tokens [batch, num_tokens, context_dim]. The misspelling `transformer_layes` is the original's. */
export function traceT2IStyle(config: T2IStyleConfig, options?: NetworkTraceOptions): Graph {
  const { width, context_dim, num_heads, num_layers, num_tokens } = config;
  const [batch, tokens] = [dim('batch'), dim('tokens')];
  return traceNetwork(
    { hidden_states: { dtype: 'float32', shape: [batch, tokens, width] } },
    (p, given) => {
      const style = expand(p.get('style_embedding', [1, num_tokens, width]), [batch, num_tokens, width]);
      let h = layerNormLayer(p.at('ln_pre'), concat([need(given, 'hidden_states'), style], 1));
      for (let i = 0; i < num_layers; i++)
        h = residualAttentionBlock(p.at('transformer_layes').at(i), h, num_heads, false);
      const last = layerNormLayer(p.at('ln_post'), slice(h, 1, tokens, addDims(tokens, num_tokens)));
      return { style_tokens: matmul(last, p.get('proj', [width, context_dim])) };
    },
    options,
  );
}
