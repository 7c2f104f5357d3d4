/** What callers of the library give, checked where types do not reach: programs in JavaScript, values from JSON. */

import { StableDiffusionError } from './errors.ts';

const shownLength = 60;

/** A value for a message, as short text. */
export function shown(value: unknown): string {
  if (typeof value === 'bigint' || typeof value === 'number') return String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`;
  if (value instanceof Promise) return 'a promise; await it first';
  const whole =
    value === undefined
      ? 'undefined'
      : (JSON.stringify(value, (_, part) =>
          typeof part === 'bigint' ? `${part}` : ArrayBuffer.isView(part) ? '[bytes]' : part,
        ) ?? 'undefined');
  return whole.length > shownLength ? `${whole.slice(0, shownLength)}…` : whole;
}

/** Throws `invalid-argument` unless it holds: "WHAT must be WANTED; it is …". */
export function demand(holds: boolean, what: string, wanted: string, given: unknown): asserts holds {
  if (holds) return;
  let found: string;
  try {
    found = shown(given);
  } catch {
    // An object that holds itself.
    found = `a value of type ${typeof given}`;
  }
  throw new StableDiffusionError('invalid-argument', `${what} must be ${wanted}; it is ${found}.`);
}

/** The value as an object that may have every field. Throws `invalid-argument` for other values, lists and promises. */
export function fieldsOf(value: unknown, what: string, wanted: string): Readonly<Record<string, unknown>> {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Promise);
  demand(isObject, what, wanted, value);
  return value as Readonly<Record<string, unknown>>;
}
