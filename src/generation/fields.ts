/** Schemas of single values of a request. Each message states the allowed values, in one style. */

import * as z from 'zod';
import { isSeedText, plainSeed } from '../random/plain-seed.ts';
import { type Bounds, bounds } from './bounds.ts';

const rangeText = ({ min, max }: Bounds): string => `from ${min.toLocaleString('en')} to ${max.toLocaleString('en')}`;

/** JSON has no -0. */
const withoutMinusZero = (value: number): number => value + 0;

/** A whole number within bounds. */
export function whole(range: Bounds) {
  const error = `a whole number ${rangeText(range)}`;
  return z.int({ error }).min(range.min, { error }).max(range.max, { error }).overwrite(withoutMinusZero);
}

/** A finite number within bounds. */
export function real(range: Bounds) {
  const error = `a number ${rangeText(range)}`;
  return z.number({ error }).min(range.min, { error }).max(range.max, { error }).overwrite(withoutMinusZero);
}

export function oneOf<const T extends readonly string[]>(words: T) {
  return z.enum(words, { error: `one of ${words.join(', ')}` });
}

export const flag = () => z.boolean({ error: 'true or false' });

/** A text of at most that many characters. */
export function text(max: number) {
  const error = `a text of at most ${max.toLocaleString('en')} characters`;
  return z.string({ error }).max(max, { error });
}

export function list<T extends z.ZodType>(item: T, what: string, min: number, max: number) {
  const error = `a list of ${min.toLocaleString('en')} to ${max.toLocaleString('en')} ${what}`;
  return z.array(item, { error }).min(min, { error }).max(max, { error }).readonly();
}

const lowestSeed = -(2n ** 63n);
const highestSeed = 2n ** 64n - 1n;
const seedError = 'a whole number from -2^63 to 2^64 - 1 (above 2^53 a bigint or its digits)';
/** A seed of PyTorch's range, -2^63 to 2^64 - 1: a whole number, a bigint, or decimal digits. It becomes its plain form. */
export const seedSchema = z
  .union(
    [
      z.int({ error: seedError }),
      z.bigint().min(lowestSeed, { error: seedError }).max(highestSeed, { error: seedError }),
      z.string().refine(isSeedText, { error: seedError }),
    ],
    { error: seedError },
  )
  .transform(plainSeed);

/** A seed in its plain form, as stored. */
export const plainSeedSchema = z.union(
  [z.int({ error: seedError }), z.string().refine(isSeedText, { error: seedError })],
  { error: seedError },
);

/** Fields of which every one may be left out: without their defaults, which somebody else decides. */
export type OpenFields<T extends Readonly<Record<string, z.ZodType>>> = {
  [K in keyof T]: z.ZodOptional<T[K] extends z.ZodDefault<infer I extends z.ZodType> ? I : T[K]>;
};

export function openFields<T extends Readonly<Record<string, z.ZodType>>>(fields: T): OpenFields<T> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      (field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field).optional(),
    ]),
  ) as unknown as OpenFields<T>;
}

export const side = () => whole(bounds.side);
