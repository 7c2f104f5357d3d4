/**
 * JSON whose whole numbers beyond 2^53 stay exact, as bigints, and whose objects remember the order of their keys: JavaScript puts keys
 * that are numbers first. Strict as `jsonCursor`, but for Python's `NaN` and `Infinity`.
 */

import { StableDiffusionError } from '../errors.ts';
import { type JsonCursor, JsonSyntaxError, jsonCursor } from './json-cursor.ts';

export type ExactJson =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly ExactJson[]
  | { readonly [key: string]: ExactJson };
export type ExactObject = { readonly [key: string]: ExactJson };

const orders = new WeakMap<object, readonly string[]>();
type Keys = string | number;
/** Keys of an object, places of a list; a set once somebody asked. */
const floats = new WeakMap<object, readonly Keys[] | ReadonlySet<Keys>>();

/** Whether a whole number of an object (by its key) or list (by its place) was written as a float: `2.0`, `1e3`. */
export function isWrittenFloat(holder: object, key: Keys): boolean {
  const found = floats.get(holder);
  if (!found) return false;
  const set = found instanceof Set ? found : new Set<Keys>(found);
  floats.set(holder, set);
  return set.has(key);
}

/** The keys of an object in the order of its text. */
export function orderedKeys(object: object): readonly string[] {
  return orders.get(object) ?? Object.keys(object);
}

/** An object whose keys keep this order. */
export function orderedObject(entries: Iterable<readonly [string, unknown]>): Readonly<Record<string, unknown>> {
  const list = [...entries];
  const object = Object.fromEntries(list);
  orders.set(
    object,
    list.map(([key]) => key),
  );
  return object;
}

/** True for an object that is neither null nor a list. */
export function isExactObject(value: unknown): value is ExactObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Keys that JavaScript puts first. */
const indexKey = /^[0-9]{1,10}$/;

/** What Python's `json` writes and reads. JSON has no such numbers: they become null, unless the caller takes them. */
const pythonNumbers = ['NaN', 'Infinity', '-Infinity'] as const;

export interface ParseOptions {
  /** Python's `NaN` and `Infinity` stay numbers. Default false. */
  readonly keepsNaN?: boolean | undefined;
}

interface Reading extends ParseOptions {
  /** The last value was a whole number written as a float. */
  wasFloat: boolean;
}

const isDigit = (character: string): boolean => character >= '0' && character <= '9';
const minus = 0x2d;

/** Whether the text of a number has neither fraction nor exponent. */
function isWhole(digits: string): boolean {
  for (let at = digits.charCodeAt(0) === minus ? 1 : 0; at < digits.length; at++)
    if (!isDigit(digits.charAt(at))) return false;
  return true;
}

/** Longer whole numbers are rounded; Python reads none that are longer. */
const mostDigits = 4300;

function noted<T extends object>(holder: T, written: readonly Keys[], reading: Reading): T {
  if (written.length > 0) floats.set(holder, written);
  reading.wasFloat = false;
  return holder;
}

function readValue(cursor: JsonCursor, reading: Reading): ExactJson {
  reading.wasFloat = false;
  const next = cursor.peek();
  if (next === '{') {
    const object: Record<string, ExactJson> = {};
    const keys: string[] = [];
    const written: string[] = [];
    cursor.object((key) => {
      keys.push(key);
      const value = readValue(cursor, reading);
      if (reading.wasFloat) written.push(key);
      // A key `__proto__` is a key like any other.
      if (key === '__proto__')
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      else object[key] = value;
    });
    if (keys.length > 1 && keys.some((key) => indexKey.test(key))) orders.set(object, keys);
    return noted(object, written, reading);
  }
  if (next === '[') {
    const list: ExactJson[] = [];
    const written: number[] = [];
    cursor.array(() => {
      const value = readValue(cursor, reading);
      if (reading.wasFloat) written.push(list.length);
      list.push(value);
    });
    return noted(list, written, reading);
  }
  if (next === '"') return cursor.string();
  if (!isDigit(next)) {
    if (cursor.word('null')) return null;
    // ComfyUI's `is_changed` is often NaN.
    const word = pythonNumbers.find((one) => cursor.word(one));
    if (word) return reading.keepsNaN ? Number(word) : null;
    if (cursor.word('true')) return true;
    if (cursor.word('false')) return false;
  }
  const digits = cursor.number();
  const number = Number(digits);
  if (isWhole(digits)) return Number.isSafeInteger(number) || digits.length > mostDigits ? number + 0 : BigInt(digits);
  reading.wasFloat = Number.isInteger(number);
  return number;
}

/** Parses a text; `what` names it in the error. Throws `file-corrupt`. */
export function parseExactJson(text: string, what: string, options: ParseOptions = {}): ExactJson {
  try {
    const cursor = jsonCursor(text);
    const value = readValue(cursor, { ...options, wasFloat: false });
    cursor.end();
    return value;
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new StableDiffusionError('file-corrupt', `${what} is not JSON: ${error.message}.`);
  }
}

export interface PrintOptions {
  /** Python's separators `, ` and `: `, and escapes for all but ASCII. */
  readonly like?: 'javascript' | 'python';
  /** Numbers that are floats in Python although they are whole. */
  readonly isFloat?: (path: readonly string[]) => boolean;
  /** Prints Python's `NaN` and `Infinity`, not null. Python's form does so by itself. */
  readonly keepsNaN?: boolean;
}

const escapeUnicode = (text: string): string =>
  text.replace(/[\u007f-\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** Prints a value with its whole numbers exact and its keys in their order. */
export function printExactJson(value: unknown, options: PrintOptions = {}): string {
  return printed(value, options, []);
}

/** `path`: of the value; the same list at every depth. */
function printed(value: unknown, options: PrintOptions, path: string[]): string {
  const python = options.like === 'python';
  const [comma, colon] = python ? [', ', ': '] : [',', ':'];
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && (python || (options.keepsNaN && !Number.isFinite(value))))
    return pythonNumber(value, options.isFloat?.(path) ?? false);
  if (typeof value === 'string') return python ? escapeUnicode(JSON.stringify(value)) : JSON.stringify(value);
  const within = (key: string, one: unknown): string => {
    path.push(key);
    const text = printed(one, options, path);
    path.pop();
    return text;
  };
  if (Array.isArray(value)) return `[${value.map((one, i) => within(String(i), one)).join(comma)}]`;
  if (!isExactObject(value)) return JSON.stringify(value) ?? 'null';
  const members: string[] = [];
  for (const key of orderedKeys(value))
    if (value[key] !== undefined) members.push(`${printed(key, options, path)}${colon}${within(key, value[key])}`);
  return `{${members.join(comma)}}`;
}

/** A number as Python prints it: `1.0`, `1e-07`, `1e+16`. */
export function pythonNumber(value: number, isFloat: boolean): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? 'Infinity' : '-Infinity';
  if (Number.isInteger(value) && !isFloat && !Object.is(value, -0)) return String(value);
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits = '', exponent = '0'] = value.toExponential().split('e');
    const power = Number(exponent);
    return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  const text = Object.is(value, -0) ? '-0' : String(value);
  return text.includes('.') ? text : `${text}.0`;
}
