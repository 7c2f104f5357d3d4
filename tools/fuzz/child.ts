/**
 * Runs the targets; the parent limits its memory and time. It reads bytes that arrive, or changes many files by itself and reports its
 * progress. If a file never ends or ends the process, the parent looks for it among the files after the last report.
 */

import { StableDiffusionError } from '../../src/errors.ts';
import { mutant } from './mutate.ts';
import { targets } from './targets.ts';

/** One file for a target, or changed files from a number on, for so many milliseconds. */
export type Task = { readonly target: string } & (
  | { readonly bytes: Uint8Array }
  | { readonly seed: number; readonly from: number; readonly milliseconds: number }
);

export interface Answer {
  readonly ready?: boolean;
  /** What was wrong. */
  readonly unexpected?: string | undefined;
  /** The next number. */
  readonly next?: number;
  readonly rss?: number;
}

const corpora = new Map<string, readonly Uint8Array[]>();
function corpusOf(target: string): readonly Uint8Array[] {
  const corpus = corpora.get(target) ?? targets[target]?.corpus() ?? [];
  corpora.set(target, corpus);
  return corpus;
}
/** Seconds of the processor for one file. */
const mostSeconds = 2;
const usedSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

async function attempt(target: string, bytes: Uint8Array): Promise<string | undefined> {
  try {
    await targets[target]?.run(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof StableDiffusionError) return undefined;
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
}

async function many({ target, seed, from, milliseconds }: Extract<Task, { seed: number }>): Promise<Answer> {
  const corpus = corpusOf(target);
  const end = performance.now() + milliseconds;
  for (let index = from; ; index++) {
    const begun = usedSeconds();
    const unexpected = await attempt(target, mutant(corpus, seed, index));
    if (unexpected !== undefined) return { unexpected, next: index + 1 };
    if (usedSeconds() - begun > mostSeconds) return { unexpected: `more than ${mostSeconds} s`, next: index + 1 };
    if (performance.now() > end) return { next: index + 1 };
  }
}

process.on('message', async (task: Task) => {
  const answer =
    'bytes' in task ? { unexpected: await attempt(task.target, new Uint8Array(task.bytes)) } : await many(task);
  process.send?.({ ...answer, rss: process.resourceUsage().maxRSS * 1024 });
});
process.send?.({ ready: true });
