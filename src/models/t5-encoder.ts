/**
 * T5's encoder (`transformers.T5EncoderModel`; Raffel et al. 2020, arXiv 1910.10683): RMS norms before each part, attention without a scale and with a
 * learned bias by relative position, which the first block makes for all.
 */

import type { T5EncoderConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import {
  add,
  attention,
  cast,
  constant,
  gather,
  maximum,
  minimum,
  mul,
  range,
  relu,
  reshape,
  sub,
  transpose,
} from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { embedding } from '../nn/embedding.ts';
import { linearLayer } from '../nn/linear.ts';
import { rmsNormLayer, tanhGelu } from '../nn/t5-layers.ts';
import { int64 } from '../tensor/tensor.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

type Buckets = Pick<T5EncoderConfig, 'relative_attention_num_buckets' | 'relative_attention_max_distance'>;

/** Row of the table of biases for a key at `relative` (key less query): exact when near, by the logarithm when further away (`_relative_position_bucket`, bidirectional). */
export function relativePositionBucket(relative: number, config: Buckets): number {
  const half = config.relative_attention_num_buckets >> 1;
  const exact = half >> 1;
  const side = relative > 0 ? half : 0;
  const distance = Math.abs(relative);
  if (distance < exact) return side + distance;
  // In float32 as PyTorch.
  const share = Math.fround(
    Math.fround(Math.log(Math.fround(distance / exact))) /
      Math.fround(Math.log(config.relative_attention_max_distance / exact)),
  );
  return side + Math.min(half - 1, exact + Math.trunc(Math.fround(share * (half - exact))));
}

/** The bias of each head for each query and key, [1, heads, tokens, tokens]. */
function positionBias(p: Params, config: T5EncoderConfig, ids: Sym): Sym {
  const { relative_attention_num_buckets: rows, num_heads: heads } = config;
  const [, tokens = 1] = ids.shape;
  // Further away all keys are in the last row, so the table of rows ends there.
  const farthest = Math.max(config.relative_attention_max_distance, rows);
  const buckets = Array.from({ length: 2 * farthest + 1 }, (_, i) => relativePositionBucket(i - farthest, config));
  const positions = range(ids, tokens);
  const relative = sub(reshape(positions, [1, tokens]), reshape(positions, [tokens, 1]));
  const limit = (value: number): Sym => constant(ids, int64([1, 1], [value]));
  const index = add(maximum(minimum(relative, limit(farthest)), limit(-farthest)), limit(farthest));
  const table = p.at('relative_attention_bias').get('weight', [rows, heads]);
  const bias = gather(table, gather(constant(ids, int64([buckets.length], buckets)), index));
  return reshape(transpose(bias, [2, 0, 1]), [1, heads, tokens, tokens]);
}

/** Added to the scores of tokens that do not count: their share is exactly 0, as with the smallest float of the original. */
const hidden = -1e9;

function selfAttention(p: Params, x: Sym, bias: Sym, config: T5EncoderConfig): Sym {
  const width = config.num_heads * config.d_kv;
  return p.module(() => {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => linearLayer(p.at(name), x, width, { bias: false })) as [
      Sym,
      Sym,
      Sym,
    ];
    const attended = attention(q, k, v, { heads: config.num_heads, scale: 1, mask: bias });
    return linearLayer(p.at('o'), attended, config.d_model, { bias: false });
  });
}

function feedForward(p: Params, x: Sym, { feed_forward_proj: form, d_ff, d_model }: T5EncoderConfig): Sym {
  const inner = (name: string): Sym => linearLayer(p.at(name), x, d_ff, { bias: false });
  return p.module(() =>
    linearLayer(
      p.at('wo'),
      form === 'relu' ? relu(inner('wi')) : mul(tanhGelu(inner('wi_0')), inner('wi_1')),
      d_model,
      {
        bias: false,
      },
    ),
  );
}

export interface T5Outputs {
  /** The embeddings, the output of each block but the last, and at the end the last hidden state: as transformers counts them. */
  readonly hiddenStates: readonly Sym[];
  readonly lastHiddenState: Sym;
  /** [1, heads, tokens, tokens]. */
  readonly positionBias: Sym;
}

/** ids int64 [b, tokens]; mask float32 [b, tokens], 1 where a token counts. */
export function t5Encoder(p: Params, config: T5EncoderConfig, ids: Sym, mask: Sym | undefined): T5Outputs {
  const [batch = 1, tokens = 1] = ids.shape;
  const blocks = p.at('encoder.block');
  const bias = positionBias(blocks.at('0.layer.0.SelfAttention'), config, ids);
  const masked =
    mask &&
    add(
      bias,
      reshape(mul(sub(constant(mask, { dtype: 'float32', shape: [], data: Float32Array.of(1) }), mask), hidden), [
        batch,
        1,
        1,
        tokens,
      ]),
    );
  const norm = (scope: Params, value: Sym): Sym => rmsNormLayer(scope, value, config.layer_norm_epsilon);
  let x = embedding(p.at('shared'), ids, config.vocab_size, config.d_model);
  const states = [x];
  for (let i = 0; i < config.num_layers; i++) {
    const [first, second] = [blocks.at(`${i}.layer.0`), blocks.at(`${i}.layer.1`)];
    x = add(x, selfAttention(first.at('SelfAttention'), norm(first.at('layer_norm'), x), masked ?? bias, config));
    x = add(x, feedForward(second.at('DenseReluDense'), norm(second.at('layer_norm'), x), config));
    if (i < config.num_layers - 1) states.push(x);
  }
  const last = norm(p.at('encoder.final_layer_norm'), x);
  return { hiddenStates: [...states, last], lastHiddenState: last, positionBias: bias };
}

/** input_ids int64 [batch, tokens] and, unless `masked` is false, attention_mask int64 [batch, tokens] → hidden_states.N, last_hidden_state, position_bias. */
export function traceT5Encoder(
  config: T5EncoderConfig,
  { masked = true, ...options }: NetworkTraceOptions & { readonly masked?: boolean } = {},
): Graph {
  const shape = [dim('batch'), dim('tokens')];
  return traceNetwork(
    { input_ids: { dtype: 'int64', shape }, ...(masked ? { attention_mask: { dtype: 'int64' as const, shape } } : {}) },
    (p, given) => {
      const mask = masked ? cast(need(given, 'attention_mask'), 'float32') : undefined;
      const {
        hiddenStates,
        lastHiddenState,
        positionBias: bias,
      } = t5Encoder(p, config, need(given, 'input_ids'), mask);
      const states = hiddenStates.map((state, i) => [`hidden_states.${i}`, state] as const);
      return { last_hidden_state: lastHiddenState, ...Object.fromEntries(states), position_bias: bias };
    },
    options,
  );
}
