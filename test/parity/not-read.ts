/**
 * Recorded cases that no reader reads, with the reason. The parity program fails on every other unread case.
 *
 * A row names a kind of cases by the set, the part and a word of what the index says that they exercise, not by the case's name.
 */

import { originalOf, type RecordedCase } from './reader.ts';

interface NotRead {
  readonly set: string;
  /** Part of the set, as in the index; every part where it is absent. */
  readonly part?: string;
  /** Fits the row's `exercises`. */
  readonly exercises?: RegExp;
  /** Fits the row's `reference`: repository, version and function of the original. */
  readonly original?: RegExp;
  readonly reason: string;
}

export const notRead: readonly NotRead[] = [
  {
    set: 'diffusion',
    part: 'samplers',
    original: /SASolverScheduler$/,
    reason: 'a scheduler of diffusers that is not implemented',
  },
  {
    set: 'families',
    part: 'runs',
    original: /rescale_zero_terminal_snr/,
    reason:
      "tables to 1e-7, which needs the last bits of PyTorch's float32 roots and products; runs with these schedules are compared",
  },
  { set: 'diffusion', part: 'prompts', original: /PromptParser/, reason: "compel's prompt syntax is not implemented" },
];

/** Why the case is not read, or undefined where nobody gave a reason. */
export function reasonNotRead({ set, part, row }: RecordedCase): string | undefined {
  const fits = (one: NotRead): boolean =>
    one.set === set &&
    (one.part === undefined || one.part === part) &&
    (one.exercises === undefined || one.exercises.test(String(row['exercises'] ?? ''))) &&
    (one.original === undefined || one.original.test(originalOf(row)));
  const recorded = row['skipped'];
  return typeof recorded === 'string' ? `not recorded by the reference: ${recorded}` : notRead.find(fits)?.reason;
}
