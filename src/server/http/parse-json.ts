/** One JSON body as FastAPI reads it, with bounds of its own: values are counted before it is parsed, and its depth after. */

import { decodeText } from '../../files/text-encoding.ts';
import { type ExactJson, parseExactJson } from '../../formats/exact-json.ts';
import { hasMoreValues } from '../admission/count-values.ts';

export interface JsonLimits {
  /** Values in one body, counted before it is parsed. */
  readonly values: number;
  /** Lists and objects inside each other. Deeper ones can be parsed but not serialised: `JSON.stringify` recurses. */
  readonly depth: number;
}

/** True if a value is nested deeper; computed without recursion. */
function isTooDeep(value: unknown, deepest: number): boolean {
  const open: { readonly value: object; readonly depth: number }[] = [];
  const add = (inner: unknown, depth: number): void => {
    if (typeof inner === 'object' && inner !== null) open.push({ value: inner, depth });
  };
  add(value, 1);
  for (let next = open.pop(); next; next = open.pop()) {
    if (next.depth > deepest) return true;
    for (const inner of Array.isArray(next.value) ? next.value : Object.values(next.value)) add(inner, next.depth + 1);
  }
  return false;
}

/** An error with the status of its answer. */
export const refusal = (message: string, statusCode = 400): Error & { readonly statusCode: number } =>
  Object.assign(new Error(message), { statusCode });

/** A whole number that a number of JavaScript may not hold. Its digits may also be part of a text: then nothing changes. */
const large = /[:,[\s]-?\d{16,40}[\s,}\]]/;

const withDigits = (value: ExactJson): unknown => {
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return (value as readonly ExactJson[]).map(withDigits);
  return Object.fromEntries(Object.entries(value as object).map(([key, one]) => [key, withDigits(one as ExactJson)]));
};

/** The value again with whole numbers beyond 2^53 as their digits: Python's clients send seeds up to 2^64 as numbers. */
function exactly(text: string, value: unknown): unknown {
  try {
    return withDigits(parseExactJson(text, 'The body'));
  } catch {
    // It is stricter than JavaScript's parser, about keys that come twice.
    return value;
  }
}

/** A body without content is none: clients post `interrupt` with a JSON content type and nothing in it. Throws a `refusal`. */
export function parseJson(body: Buffer, { values, depth }: JsonLimits): unknown {
  if (hasMoreValues(body, values))
    throw refusal(`The body has more than ${values} values. Only lists that no route reads are so long.`, 413);
  // As Python's JSON: UTF-8 with or without its mark, UTF-16 with it, and no guess at what else it may be.
  const text = decodeText(body);
  if (text === undefined) throw refusal('The body is not UTF-8.');
  if (text === '') return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw refusal(`The body is not JSON: ${cause instanceof Error ? cause.message.slice(0, 200) : ''}`);
  }
  if (isTooDeep(value, depth)) throw refusal(`The body has lists or objects more than ${depth} deep in each other.`);
  return large.test(text) ? exactly(text, value) : value;
}
