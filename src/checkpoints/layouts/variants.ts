/**
 * Small deviations of published CompVis files from the canonical names and shapes, as maps (a: canonical, b: as found).
 *
 * - Attention of the autoencoder saved as linear layers ([c, c] for [c, c, 1, 1]).
 * - Text encoders saved by merging tools without `text_model.`.
 * - The safety checker as saved by transformers 5, with one `vision_model.` less.
 */

import type { NameMap, NameRow } from '../rename.ts';

const attentionMatrix = /\.attn(_1|\.\d+)\.(q|k|v|proj_out)\.weight$/;

/** For the entries of an autoencoder whose attention matrices have two axes; undefined if all names are canonical. */
export function linearAttentionMap(
  entries: ReadonlyMap<string, { readonly shape: readonly number[] }>,
): NameMap | undefined {
  const rows: NameRow[] = [];
  for (const [name, { shape }] of entries)
    if (shape.length === 2 && attentionMatrix.test(name)) rows.push({ a: name, b: name, ones: 2 });
  return rows.length === 0 ? undefined : { a: 'compvis', b: 'compvis-linear', rows };
}

const projection = /\.proj_(in|out)\.weight$/;

/** For the entries of a UNet whose transformers' projections have the other form: 1x1 convolutions (a) ⇄ linear layers (b). */
export function projectionMap(
  entries: ReadonlyMap<string, { readonly shape: readonly number[] }>,
  linear: boolean,
): NameMap | undefined {
  const rows: NameRow[] = [];
  for (const [name, { shape }] of entries)
    if (projection.test(name) && shape.length === (linear ? 4 : 2)) rows.push({ a: name, b: name, ones: 2 });
  return rows.length === 0 ? undefined : { a: 'convolutions', b: 'linear', rows };
}

/** For the names of a text encoder without `cond_stage_model.`; undefined if all names are canonical. */
export function textModelMap(names: Iterable<string>): NameMap | undefined {
  const rows: NameRow[] = [];
  for (const name of names) {
    const rest = /^transformer\.((?:embeddings|encoder|final_layer_norm)\..*)$/.exec(name)?.[1];
    if (rest !== undefined) rows.push({ a: `transformer.text_model.${rest}`, b: name });
  }
  return rows.length === 0 ? undefined : { a: 'compvis', b: 'compvis-without-text-model', rows };
}

/** For the names of a safety checker; undefined if all names are canonical. */
export function safetyCheckerMap(names: Iterable<string>): NameMap | undefined {
  const rows: NameRow[] = [];
  for (const name of names)
    if (/^vision_model\.(?!vision_model\.)/.test(name)) rows.push({ a: `vision_model.${name}`, b: name });
  return rows.length === 0 ? undefined : { a: 'published', b: 'transformers-5', rows };
}
