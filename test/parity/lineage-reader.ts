/** A reader of several kinds of cases of the set `lineage`, each known by a text of its row. */

import { type LineageCase, lineageCase } from './lineage-case.ts';
import type { Comparison, IndexRow, Reader } from './reader.ts';

export type LineageCompare = (recorded: LineageCase) => AsyncIterable<Comparison> | Iterable<Comparison>;

/** Every comparison whose pattern fits runs. `textOf`: what the patterns are for. Default: what the case exercises. */
export function lineageReader(
  compares: readonly (readonly [RegExp, LineageCompare])[],
  textOf = (row: IndexRow): string => String(row['exercises']),
): Reader {
  return {
    set: 'lineage',
    reads: (row) => compares.some(([pattern]) => pattern.test(textOf(row))),
    async *compare(raw) {
      for (const [pattern, compare] of compares) if (pattern.test(textOf(raw.row))) yield* compare(lineageCase(raw));
    },
  };
}
