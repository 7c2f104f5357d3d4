/** Reading an architecture from names and shapes: small queries on a set of entries, and the error if one has no answer. */

import type * as z from 'zod';
import { validated } from '../../config/validate.ts';
import { StableDiffusionError } from '../../errors.ts';
import type { Shape } from '../../tensor/tensor.ts';
import type { WeightEntry } from '../../weights/weight-source.ts';

export type Entries = ReadonlyMap<string, WeightEntry>;

/** An architecture read from shapes, and the settings that had to be assumed. */
export interface Inferred<C> {
  readonly config: C;
  /** Phrases such as `num_heads 8`, for `sd inspect` and messages. */
  readonly assumed: readonly string[];
}

/** A `model-unknown` error: `what` is the network, `found` the problem. */
export function unknown(what: string, found: string): StableDiffusionError {
  return new StableDiffusionError(
    'model-unknown',
    `${what}: ${found}. The architecture cannot be inferred from names and shapes. Give its configuration (YAML or config.json).`,
  );
}

/** Shape of a tensor; throws `model-unknown` if it is missing or has another rank than `rank`. */
export function shapeOf(entries: Entries, name: string, rank: number, what: string): Shape {
  const entry = entries.get(name);
  if (!entry) throw unknown(what, `${name} is missing`);
  if (entry.shape.length !== rank || entry.shape.some((size) => size < 1)) {
    throw unknown(what, `${name} has shape [${entry.shape.join(', ')}], not ${rank} axes of at least 1`);
  }
  return entry.shape;
}

/** One axis of a tensor; throws `model-unknown` as `shapeOf`. */
export function axis(entries: Entries, name: string, rank: number, index: number, what: string): number {
  return shapeOf(entries, name, rank, what)[index] as number;
}

/**
 * Counts the consecutive numbers from 0 that follow `prefix` in some name: `count('down_blocks.')` is 4 for down_blocks.0 … 3.
 * Throws `model-unknown` where a number is skipped.
 */
export function countOf(entries: Entries, prefix: string, what: string, gaps: 'refuse' | 'allow' = 'refuse'): number {
  const seen = new Set<number>();
  for (const name of entries.keys()) {
    if (!name.startsWith(prefix)) continue;
    const digits = /^\d{1,4}(?=\.)/.exec(name.slice(prefix.length))?.[0];
    if (digits !== undefined) seen.add(Number(digits));
  }
  const count = seen.size === 0 ? 0 : Math.max(...seen) + 1;
  if (gaps === 'refuse' && count !== seen.size)
    throw unknown(what, `the numbers after ${prefix} have gaps (${[...seen].sort((x, y) => x - y).join(', ')})`);
  return count;
}

export function hasPrefix(entries: Entries, prefix: string): boolean {
  for (const name of entries.keys()) if (name.startsWith(prefix)) return true;
  return false;
}

/** `width / base`, a whole number or a half; throws `model-unknown` otherwise. */
export function multiple(width: number, base: number, what: string): number {
  if ((2 * width) % base !== 0)
    throw unknown(what, `a level is ${width} channels wide, which is not a multiple of half of ${base}`);
  return width / base;
}

/** Groups of the GroupNorms: 32 where that divides every width, as in LDM, else the largest power of two that does. */
export function normGroups(widths: readonly number[], assumed: string[]): number {
  let groups = 32;
  while (widths.some((width) => width % groups !== 0)) groups /= 2;
  if (groups !== 32) assumed.push(`norm_num_groups ${groups}`);
  return groups;
}

/** One number if all are the same, else the list. */
export function uniform(counts: readonly number[]): number | readonly number[] {
  return counts.every((value) => value === counts[0]) ? (counts[0] as number) : counts;
}

/** A configuration made of what was read; throws `model-unknown` where the values cannot be one. */
export function inferred<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  return validated(schema, value, what, 'model-unknown');
}
