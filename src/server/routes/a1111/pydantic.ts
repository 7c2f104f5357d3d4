/** Fields as pydantic 1 reads them, which A1111 1.10.1 does: null is the default, "20" and 20.0 are the number 20, "true" is true. */

import * as z from 'zod';
import { plainSeedSchema } from '../../../generation/fields.ts';
import { notAnInteger } from '../../http/problem.ts';

/** Texts of at least this length are not parsed as numbers. */
const longestNumber = 400;
const floatText = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const integerText = /^[+-]?\d+$/;

/** The number in a text, or the value unchanged. */
const fromText = (value: unknown, pattern: RegExp): unknown => {
  if (typeof value !== 'string' || value.length > longestNumber) return value;
  const text = value.trim();
  return pattern.test(text) ? Number(text) : value;
};

const asNumber = (value: unknown): unknown => (typeof value === 'boolean' ? Number(value) : fromText(value, floatText));

const asInteger = (value: unknown): unknown => {
  const number = typeof value === 'boolean' ? Number(value) : fromText(value, integerText);
  return typeof number === 'number' ? Math.trunc(number) : number;
};

const asBoolean = (value: unknown): unknown => {
  const text = typeof value === 'string' && value.length < 8 ? value.toLowerCase() : value;
  if (text === 1 || ['1', 'true', 'on', 'yes', 'y', 't'].includes(text as string)) return true;
  if (text === 0 || ['0', 'false', 'off', 'no', 'n', 'f'].includes(text as string)) return false;
  return value;
};

const asText = (value: unknown): unknown => (typeof value === 'number' ? String(value) : value);

const isLargeSeed = (value: unknown): value is string =>
  typeof value === 'string' && /^\s*-?\d{16,20}\s*$/.test(value) && !Number.isSafeInteger(Number(value));

/** An optional field, null where it is left out. */
const optional = <T extends z.ZodType>(read: (value: unknown) => unknown, schema: T) =>
  z.preprocess((value) => (value === undefined ? null : read(value)), schema.nullable());

export const integer = () => optional(asInteger, z.int({ error: notAnInteger }));
/** A seed: a whole number, or beyond 2^53 its digits, because a JSON number does not hold it exactly. */
export const seed = () => optional((value) => (isLargeSeed(value) ? value.trim() : asInteger(value)), plainSeedSchema);
export const float = () => optional(asNumber, z.number());
/** A number within bounds. */
export const floatWithin = (least: number, most: number) => optional(asNumber, z.number().min(least).max(most));
export const boolean = () => optional(asBoolean, z.boolean());
export const text = () => optional(asText, z.string());

/** Lists and objects that no route looks into: more elements or characters are refused. */
const mostElements = 1000;
const mostCharacters = 100_000;

/** True if a value is small; stops early for large ones. */
function isSmall(value: unknown, mostText = mostCharacters): boolean {
  let [elements, characters] = [0, 0];
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (++elements > mostElements) return false;
    if (typeof next === 'string') characters += next.length;
    if (characters > mostText) return false;
    if (typeof next !== 'object' || next === null) continue;
    const inner = Array.isArray(next) ? next : Object.values(next);
    if (inner.length > mostElements) return false;
    open.push(...inner);
  }
  return true;
}

const tooMuch = `ensure this value has at most ${mostElements} elements and ${mostCharacters} characters`;
const small = <T extends z.ZodType>(schema: T) => z.any().refine(isSmall, { error: tooMuch, abort: true }).pipe(schema);

export const list = () => optional((value) => value, small(z.array(z.unknown())));
/** Clients in PHP write an empty object as an empty list. */
export const dict = () =>
  optional(
    (value) => (Array.isArray(value) && value.length === 0 ? {} : value),
    small(z.record(z.string(), z.unknown())),
  );

/** Scripts with their arguments. Those of ControlNet hold pictures, which the size of the body bounds. */
export const scripts = () =>
  optional(
    (value) => (Array.isArray(value) && value.length === 0 ? {} : value),
    z
      .any()
      .refine(
        (value) => {
          if (typeof value !== 'object' || value === null) return true;
          const entries = Object.entries(value as object);
          const withPictures = entries.filter(([name]) => name.toLowerCase() === 'controlnet');
          const others = entries.filter(([name]) => name.toLowerCase() !== 'controlnet');
          return isSmall(Object.fromEntries(others)) && isSmall(withPictures, Number.POSITIVE_INFINITY);
        },
        { error: tooMuch, abort: true },
      )
      .pipe(z.record(z.string(), z.unknown())),
  );
