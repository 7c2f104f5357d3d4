/**
 * What the parity program works on: a recorded case of the original code, and a reader that runs our code on it.
 *
 * A reader decides by what the row of the index says that the case exercises, never by the case's name: other recordings of the same kind, with other
 * names and numbers, are run through the same readers.
 */

import { maxDifference } from '../parity.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** A row of a set's index.json as it stands there. Readers parse what they need of it. */
export type IndexRow = Readonly<Record<string, unknown>>;

export interface RecordedCase {
  /** The set's folder name: networks, diffusion, files, training, lineage, control, families, comfyui. */
  readonly set: string;
  /** The group inside the set that the index states: samplers, 2-ckpt, gguf, …; empty where the set has none. */
  readonly part: string;
  /** For people and for `--case`. Readers must not branch on it. */
  readonly name: string;
  readonly row: IndexRow;
  /** The reference folder, which holds the sets: cases may point to another set's files. */
  readonly root: string;
  /** The set's folder, `root/set`. Paths in `file` and `files` of a row start here. */
  readonly setFolder: string;
  /** The case's own folder: `dir` of the row, else `setFolder/name`. It need not exist where the set keeps cases in shared files. */
  readonly folder: string;
  /** The set's index.json without its cases: notes, conventions, versions. */
  readonly index: IndexRow;
}

export interface Comparison {
  /** What was compared: a tensor's name, `rows`, `verdict`, … */
  readonly output: string;
  /** Largest absolute difference, or the number of values, rows or characters that differ. */
  readonly error: number;
  readonly tolerance: number;
  /** One recorded file or text among the many of a case (files/ckpt); it counts as a case of its own. */
  readonly item?: string | undefined;
  /** A remark, such as why this output has a tolerance of its own. */
  readonly note?: string | undefined;
  /** The reason why a recorded output is not compared. The error is then 0; the program lists these. */
  readonly skipped?: string | undefined;
}

export interface Reader {
  /** The set whose rows it reads. */
  readonly set: string;
  /** Whether this reader runs the case of this row. Of several readers of a set every one that says yes runs. */
  readonly reads: (row: IndexRow, part: string) => boolean;
  /** Runs our code and yields every comparison, failing ones too. Throws where a recorded file or an output is missing. */
  readonly compare: (recorded: RecordedCase) => AsyncIterable<Comparison> | Iterable<Comparison>;
  /** Frees what the reader kept between cases. */
  readonly dispose?: () => void | Promise<void>;
}

/** Compares a tensor with the recorded one. */
export function compareTensors(
  output: string,
  got: Tensor | undefined,
  want: Tensor,
  tolerance: number,
  more: { readonly item?: string | undefined; readonly note?: string | undefined } = {},
): Comparison {
  if (got === undefined) throw new Error(`output ${output} was not made`);
  return { output, error: maxDifference(got, want), tolerance, ...more };
}

/** Compares values that must be the same: texts, numbers of JSON, lists. The error is 0 or 1; a difference is shown in the note. */
export function compareExactly(
  output: string,
  got: unknown,
  want: unknown,
  more: { readonly item?: string | undefined } = {},
): Comparison {
  const [ours, theirs] = [JSON.stringify(got), JSON.stringify(want)];
  const same = ours === theirs;
  const note = same ? undefined : `got ${ours?.slice(0, 200)}, recorded ${theirs?.slice(0, 200)}`;
  return { output, error: same ? 0 : 1, tolerance: 0, note, ...more };
}

// biome-ignore lint/suspicious/noExplicitAny: recorded settings differ from case to case; a wrong field fails its case
export type Recorded = any;

/** `settings` of the row, whose fields are the original's. */
export function settingsOf({ row }: RecordedCase): Recorded {
  return row['settings'];
}

/** `reference` of the row as text: the original's repository, version and function. */
export function originalOf(row: IndexRow): string {
  const original = row['reference'];
  return typeof original === 'string' ? original : Object.values(original ?? {}).join(' ');
}
