/**
 * Recorded cases that no reader reads, with the reason. The parity program fails on every other unread case, and on a row here that fits no unread case.
 *
 * A row names a kind of cases by the set, the part and a word of what the index says that they exercise, not by the case's name.
 */

import type { RecordedCase } from './reader.ts';

interface NotRead {
  readonly set: string;
  /** Part of the set, as in the index; every part where it is absent. */
  readonly part?: string;
  /** Fits the row's `exercises`. */
  readonly exercises?: RegExp;
  readonly reason: string;
}

export const notRead: readonly NotRead[] = [];

/** Why the case is not read, or undefined where nobody gave a reason. */
export function reasonNotRead({ set, part, row }: RecordedCase): string | undefined {
  const fits = (one: NotRead): boolean =>
    one.set === set &&
    (one.part === undefined || one.part === part) &&
    (one.exercises === undefined || one.exercises.test(String(row['exercises'] ?? '')));
  const recorded = row['skipped'];
  return typeof recorded === 'string' ? `not recorded by the reference: ${recorded}` : notRead.find(fits)?.reason;
}
