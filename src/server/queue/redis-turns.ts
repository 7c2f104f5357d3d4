/**
 * The places of a caller's waiting jobs in the queue on Redis. A start tag is a place that the caller has by its share; which of its jobs
 * stands there is decided by priority, then by the order of arrival.
 */

import * as z from 'zod';
import { priorities } from '../job.ts';

const turnSchema = z.object({ id: z.string(), priority: z.enum(priorities), tag: z.number() });

export type Turn = z.output<typeof turnSchema>;

/** The turns in a hash of JSON. What is not a turn is left out. */
export function readTurns(hash: Readonly<Record<string, string>>): readonly Turn[] {
  return Object.values(hash).flatMap((text) => {
    try {
      return [turnSchema.parse(JSON.parse(text))];
    } catch {
      return [];
    }
  });
}

/**
 * A new job with the last place, put before the caller's jobs of lower priority, and before the job `before` and those behind it. Each of
 * these takes the next one's place.
 */
export function withJob(
  waiting: readonly Turn[],
  job: Turn,
  before?: string,
): { readonly own: Turn; readonly moved: readonly Turn[] } {
  const rank = ({ priority }: Turn): number => priorities.indexOf(priority);
  const target = before === undefined ? undefined : waiting.find(({ id }) => id === before);
  const isBehind = (turn: Turn): boolean =>
    rank(turn) > rank(job) || (target !== undefined && rank(turn) === rank(job) && turn.tag >= target.tag);
  const behind = waiting.filter(isBehind).sort((a, b) => a.tag - b.tag);
  const places = [...behind.map(({ tag }) => tag), job.tag];
  return {
    own: { ...job, tag: places[0] ?? job.tag },
    moved: behind.map((turn, i) => ({ ...turn, tag: places[i + 1] ?? turn.tag })),
  };
}
