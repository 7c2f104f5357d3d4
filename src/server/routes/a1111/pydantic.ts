/** Fields as pydantic 1 reads them, which A1111 1.10.1 does: null is the default, "20" and 20.0 are the number 20, "true" is true. */

import { z } from 'zod';
import { notAnInteger } from '../../http/problem.ts';

const asNumber = (value: unknown): unknown => {
  if (typeof value === 'boolean') return Number(value);
  return typeof value === 'string' && /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(value) ? Number(value) : value;
};

const asInteger = (value: unknown): unknown => {
  const number = typeof value === 'string' && !/^\s*[+-]?\d+\s*$/.test(value) ? value : asNumber(value);
  return typeof number === 'number' ? Math.trunc(number) : number;
};

const asBoolean = (value: unknown): unknown => {
  const text = typeof value === 'string' ? value.toLowerCase() : value;
  if (text === 1 || ['1', 'true', 'on', 'yes', 'y', 't'].includes(text as string)) return true;
  if (text === 0 || ['0', 'false', 'off', 'no', 'n', 'f'].includes(text as string)) return false;
  return value;
};

const asText = (value: unknown): unknown => (typeof value === 'number' ? String(value) : value);

/** An optional field, null where it is left out. */
const optional = <T extends z.ZodType>(read: (value: unknown) => unknown, schema: T) =>
  z.preprocess((value) => (value === undefined ? null : read(value)), schema.nullable());

export const integer = () => optional(asInteger, z.int({ error: notAnInteger }));
export const float = () => optional(asNumber, z.number());
/** A number within bounds. */
export const floatWithin = (least: number, most: number) => optional(asNumber, z.number().min(least).max(most));
export const boolean = () => optional(asBoolean, z.boolean());
export const text = () => optional(asText, z.string());
export const list = () => optional((value) => value, z.array(z.unknown()));
/** Clients in PHP write an empty object as an empty list. */
export const dict = () =>
  optional((value) => (Array.isArray(value) && value.length === 0 ? {} : value), z.record(z.string(), z.unknown()));
