/** The architecture of T5's encoder from names and shapes. */

import { type T5EncoderConfig, t5EncoderConfigSchema } from '../../config/network-config.ts';
import { axis, countOf, type Entries, type Inferred, inferred, shapeOf } from './shapes.ts';

const first = 'encoder.block.0.layer';
const table = `${first}.0.SelfAttention.relative_attention_bias.weight`;

export function isT5Encoder(entries: Entries): boolean {
  return entries.has(table);
}

/** The distance at which positions are no longer told apart leaves no trace: 128, as in every T5. */
export function inferT5Encoder(entries: Entries): Inferred<T5EncoderConfig> {
  const what = 'T5 encoder';
  const [buckets, heads = 1] = shapeOf(entries, table, 2, what);
  const [inner = 1, width] = shapeOf(entries, `${first}.0.SelfAttention.q.weight`, 2, what);
  const isGated = entries.has(`${first}.1.DenseReluDense.wi_0.weight`);
  const embedding = entries.has('shared.weight') ? 'shared.weight' : 'encoder.embed_tokens.weight';
  const config = inferred(
    t5EncoderConfigSchema,
    {
      kind: 't5_encoder',
      d_model: width,
      d_kv: inner / heads,
      num_heads: heads,
      num_layers: countOf(entries, 'encoder.block.', what),
      d_ff: axis(entries, `${first}.1.DenseReluDense.wi${isGated ? '_0' : ''}.weight`, 2, 0, what),
      vocab_size: axis(entries, embedding, 2, 0, what),
      relative_attention_num_buckets: buckets,
      feed_forward_proj: isGated ? 'gated-gelu' : 'relu',
    },
    what,
  );
  return { config, assumed: ['relative_attention_max_distance 128'] };
}
