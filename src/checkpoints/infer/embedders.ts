/** The architecture of LDM's small condition encoders from names and shapes: BERTEmbedder, ClassEmbedder, SpatialRescaler. */

import {
  type BertEmbedderConfig,
  bertEmbedderConfigSchema,
  type ClassEmbedderConfig,
  classEmbedderConfigSchema,
  type SpatialRescalerConfig,
  spatialRescalerConfigSchema,
} from '../../config/network-config.ts';
import { axis, countOf, type Entries, type Inferred, inferred, shapeOf } from './shapes.ts';

export function isBertEmbedder(entries: Entries): boolean {
  return entries.has('transformer.token_emb.weight');
}

/** Each layer of `Encoder(dim, depth)` is two entries of `attn_layers.layers`: attention and feed-forward. */
export function inferBertEmbedder(entries: Entries): Inferred<BertEmbedderConfig> {
  const what = 'BERT embedder';
  const [vocabulary, width] = shapeOf(entries, 'transformer.token_emb.weight', 2, what);
  const config = inferred(
    bertEmbedderConfigSchema,
    {
      kind: 'bert',
      n_embed: width,
      n_layer: countOf(entries, 'transformer.attn_layers.layers.', what) / 2,
      vocab_size: vocabulary,
      max_seq_len: axis(entries, 'transformer.pos_emb.emb.weight', 2, 0, what),
    },
    what,
  );
  return { config, assumed: [] };
}

export function isClassEmbedder(entries: Entries): boolean {
  return entries.has('embedding.weight') && entries.size === 1;
}

export function inferClassEmbedder(entries: Entries): Inferred<ClassEmbedderConfig> {
  const what = 'class embedder';
  const [classes, width] = shapeOf(entries, 'embedding.weight', 2, what);
  const config = inferred(
    classEmbedderConfigSchema,
    { kind: 'class_embedder', embed_dim: width, n_classes: classes, key: 'class_label' },
    what,
  );
  return { config, assumed: [] };
}

export function isSpatialRescaler(entries: Entries): boolean {
  return entries.has('channel_mapper.weight') && entries.size <= 2;
}

/** Stages, factor and method leave no trace: the defaults of semantic synthesis, two stages of bilinear halving, are assumed. */
export function inferSpatialRescaler(entries: Entries): Inferred<SpatialRescalerConfig> {
  const what = 'spatial rescaler';
  const [to, from] = shapeOf(entries, 'channel_mapper.weight', 4, what);
  const config = inferred(
    spatialRescalerConfigSchema,
    {
      kind: 'spatial_rescaler',
      n_stages: 2,
      in_channels: from,
      out_channels: to,
      bias: entries.has('channel_mapper.bias'),
    },
    what,
  );
  return { config, assumed: ['n_stages 2', 'method bilinear', 'multiplier 0.5'] };
}
