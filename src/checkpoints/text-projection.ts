/** The projection of a checkpoint's text encoder, where its condition does without: SD 2.x files carry OpenCLIP's, some SD 1.x files CLIP's. */

import { withNames } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type NameRow, renamed } from './rename.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';

/** The canonical name, in a text encoder. */
const projection = 'transformer.text_projection.weight';

/** Where files have it. OpenCLIP's matrix is transposed. */
const rows: readonly NameRow[] = [
  { a: `${partPrefixes.cond_stage}transformer.text_projection.weight`, b: projection },
  { a: `${partPrefixes.cond_stage}model.text_projection`, b: projection, transposed: true },
];

/** [projection, width] under its canonical name; undefined where the file has none. */
export function unusedTextProjection(file: WeightSource): WeightSource | undefined {
  const row = rows.find(({ a }) => file.entries.has(a));
  if (!row) return undefined;
  const own = withNames(file, (name) => (name === row.a ? name : undefined));
  return renamed(own, { a: 'checkpoint', b: 'canonical', rows: [row] }, 'a-to-b');
}
