/**
 * CLIP's text encoder as SD v1 uses it (`transformers.CLIPTextModel` inside `FrozenCLIPEmbedder`; Radford et al. 2021).
 *
 * No padding mask: every token attends to itself and those before it, padding included, as in the original.
 */

import type { ClipTextConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, linear, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { clipLayers } from '../nn/clip-layers.ts';
import { embedding } from '../nn/embedding.ts';
import { layerNormLayer } from '../nn/norm.ts';
import { firstId, largestId, takeToken } from '../nn/take-token.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

export interface ClipTextOutputs {
  /** The embeddings, then the output of each layer, before the final norm: [b, tokens, hidden_size] each. */
  readonly hiddenStates: readonly [Sym, ...Sym[]];
  /** The final norm of each of them. Clip skip s (1 is none) takes the s-th from the end. */
  readonly finalNorms: readonly [Sym, ...Sym[]];
  readonly lastHiddenState: Sym;
  /** The end-of-text token's last hidden state: [b, hidden_size]. */
  readonly pooled: Sym;
  /** The projection of `pooled`, where the model has one: [b, projection_dim]. */
  readonly textEmbeds?: Sym;
}

/** Old configurations have an `eos_token_id` of 2 but mean the largest id of the row. */
export const historicalEos = 2;

/** ids int64 [b, tokens], with at most `max_position_embeddings` tokens. */
export function clipText(p: Params, config: ClipTextConfig, ids: Sym): ClipTextOutputs {
  const { hidden_size, vocab_size, max_position_embeddings, layer_norm_eps } = config;
  const model = p.under('transformer.text_model');
  const [, tokens = 1] = ids.shape;
  const scope = model.at('embeddings');
  const embedded = scope.module(() => {
    const words = embedding(scope.at('token_embedding'), ids, vocab_size, hidden_size);
    const positions = scope.at('position_embedding').get('weight', [max_position_embeddings, hidden_size]);
    return add(words, slice(positions, 0, 0, tokens));
  });
  const hiddenStates = clipLayers(model.at('encoder'), embedded, config, { causal: true });
  const norm = (x: Sym): Sym => layerNormLayer(model.at('final_layer_norm'), x, layer_norm_eps);
  const [first, ...others] = hiddenStates;
  const finalNorms = [norm(first), ...others.map(norm)] as const;
  const lastHiddenState = finalNorms.at(-1) ?? finalNorms[0];
  const position = config.eos_token_id === historicalEos ? largestId(ids) : firstId(ids, config.eos_token_id);
  const pooled = takeToken(lastHiddenState, position, max_position_embeddings);
  const outputs = { hiddenStates, finalNorms, lastHiddenState, pooled };
  return config.with_projection
    ? {
        ...outputs,
        textEmbeds: linear(
          pooled,
          p.at('transformer.text_projection').get('weight', [config.projection_dim, hidden_size]),
        ),
      }
    : outputs;
}

/** input_ids int64 [batch, tokens] → hidden_states.N, final_norm.N, last_hidden_state, pooled and, with a projection, text_embeds. */
export function traceClipText(config: ClipTextConfig, options?: NetworkTraceOptions): Graph {
  return traceNetwork(
    { input_ids: { dtype: 'int64', shape: [dim('batch'), dim('tokens')] } },
    (p, given) => {
      const { hiddenStates, finalNorms, lastHiddenState, pooled, textEmbeds } = clipText(
        p,
        config,
        need(given, 'input_ids'),
      );
      const outputs: Record<string, Sym> = { last_hidden_state: lastHiddenState, pooled };
      if (textEmbeds) outputs['text_embeds'] = textEmbeds;
      for (const [i, state] of hiddenStates.entries()) outputs[`hidden_states.${i}`] = state;
      for (const [i, state] of finalNorms.entries()) outputs[`final_norm.${i}`] = state;
      return outputs;
    },
    options,
  );
}
