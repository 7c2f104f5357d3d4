/** Values as Python prints them in ComfyUI's messages: `repr`, and the errors of `int()` and `float()`. */

import { isExactObject, orderedKeys, pythonNumber } from '../formats/exact-json.ts';

/** A text in Python's quotes. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
  let out = '';
  for (const character of text) out += character === quote ? `\\${quote}` : (escapes[character] ?? character);
  return quote + out + quote;
}

/** `repr(value)`. */
export function pythonRepr(value: unknown): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return pythonNumber(value, false);
  if (Array.isArray(value)) return `[${value.map(pythonRepr).join(', ')}]`;
  if (isExactObject(value))
    return `{${orderedKeys(value)
      .map((key) => `${quoted(key)}: ${pythonRepr(value[key])}`)
      .join(', ')}}`;
  return String(value);
}

/** `str(value)`. */
export const pythonStr = (value: unknown): string => (typeof value === 'string' ? value : pythonRepr(value));

/** What a value's type is called. */
export function pythonTypeName(value: unknown): string {
  if (value === null || value === undefined) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'str';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'dict';
  return typeof value === 'bigint' || Number.isInteger(value) ? 'int' : 'float';
}

/** A value that Python's conversion refuses, with its message. */
export class ConversionError extends Error {}

/** `int(value)`. A bigint where a number would not be exact. Throws `ConversionError`. */
export function pythonInt(value: unknown): number | bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') {
    if (Number.isNaN(value)) throw new ConversionError('cannot convert float NaN to integer');
    if (!Number.isFinite(value)) throw new ConversionError('cannot convert float infinity to integer');
    const whole = Math.trunc(value);
    return Number.isSafeInteger(whole) ? whole : BigInt(whole);
  }
  if (typeof value === 'string') {
    const digits = value.trim().replace(/(?<=[0-9])_(?=[0-9])/g, '');
    if (!/^[+-]?[0-9]+$/.test(digits) || digits.length > 4300)
      throw new ConversionError(`invalid literal for int() with base 10: ${quoted(value)}`);
    const whole = BigInt(digits.replace(/^\+/, ''));
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  }
  throw new ConversionError(
    `int() argument must be a string, a bytes-like object or a real number, not '${pythonTypeName(value)}'`,
  );
}

/** `float(value)`. Throws `ConversionError`. */
export function pythonFloat(value: unknown): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'string') {
    const text = value.trim();
    const named: Readonly<Record<string, number>> = { inf: Infinity, infinity: Infinity, nan: Number.NaN };
    const word = named[text.replace(/^[+-]/, '').toLowerCase()];
    if (word !== undefined) return text.startsWith('-') ? -word : word;
    if (!/^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/.test(text))
      throw new ConversionError(`could not convert string to float: ${quoted(value)}`);
    return Number(text);
  }
  throw new ConversionError(`float() argument must be a string or a real number, not '${pythonTypeName(value)}'`);
}

/** `bool(value)`. */
export function pythonBool(value: unknown): boolean {
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? value.length > 0 : Object.keys(value).length > 0;
  return Boolean(value);
}
