/** Values as Python prints them in ComfyUI's messages: `repr`, and the errors of `int()` and `float()`. */

import { isExactObject, isWrittenFloat, orderedKeys, pythonNumber } from '../formats/exact-json.ts';

/** A text in Python's quotes. */
function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = '';
  for (const character of text) out += character === quote ? `\\${quote}` : printable(character);
  return quote + out + quote;
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };
/** What Python does not print as it is: controls, separators but the space, private and unassigned characters. */
const unprintable = /^[\p{C}\p{Z}]$/u;

function printable(character: string): string {
  const own = escapes[character];
  if (own !== undefined || character === ' ' || !unprintable.test(character)) return own ?? character;
  const code = (character.codePointAt(0) as number).toString(16);
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`;
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`;
}

/** `repr(value)`. `isFloat`: a whole number is a float there. */
export function pythonRepr(value: unknown, isFloat = false): string {
  if (value === null || value === undefined) return 'None';
  if (value === true) return 'True';
  if (value === false) return 'False';
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') return numberText(value, isFloat);
  if (Array.isArray(value)) return `[${value.map((one, i) => pythonRepr(one, isWrittenFloat(value, i))).join(', ')}]`;
  if (isExactObject(value))
    return `{${orderedKeys(value)
      .map((key) => `${quoted(key)}: ${pythonRepr(value[key], isWrittenFloat(value, key))}`)
      .join(', ')}}`;
  return String(value);
}

/** `str(value)`. */
export const pythonStr = (value: unknown, isFloat = false): string =>
  typeof value === 'string' ? value : pythonRepr(value, isFloat);

/** A number as `str` prints it, `nan` and `inf` in small letters. */
function numberText(value: number, isFloat: boolean): string {
  if (Number.isNaN(value)) return 'nan';
  return Number.isFinite(value) ? pythonNumber(value, isFloat) : value > 0 ? 'inf' : '-inf';
}

/** What a value's type is called. */
export function pythonTypeName(value: unknown, isFloat = false): string {
  if (value === null || value === undefined) return 'NoneType';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'string') return 'str';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'dict';
  return typeof value === 'bigint' || (Number.isInteger(value) && !isFloat) ? 'int' : 'float';
}

/** A value that Python's conversion refuses, with its message. */
export class ConversionError extends Error {}

/** The value of a decimal digit of any script; those of one script lie one behind the other. */
function digitValue(character: string): number {
  const code = character.codePointAt(0) as number;
  // The mathematical digits: five scripts without a gap.
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10;
  let value = 0;
  while (value < 9 && /^\p{Nd}$/u.test(String.fromCodePoint(code - value - 1))) value++;
  return value;
}

const isSpace = (character: string): boolean => /^[\s\x1c-\x1f\x85]$/.test(character);

/** `str.strip()`. */
function stripped(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isSpace(text.charAt(start))) start++;
  while (end > start && isSpace(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

/** A numeral as Python reads it: without white space around it, with digits of any script, and `_` between two of them. */
function numeral(text: string): string {
  return stripped(text)
    .replace(/\p{Nd}/gu, (digit) => String(digitValue(digit)))
    .replace(/(?<=[0-9])_(?=[0-9])/g, '');
}

/** `int(value)`. A bigint where a number would not be exact. Throws `ConversionError`. */
export function pythonInt(value: unknown): number | bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'number') {
    if (Number.isNaN(value)) throw new ConversionError('cannot convert float NaN to integer');
    if (!Number.isFinite(value)) throw new ConversionError('cannot convert float infinity to integer');
    const whole = Math.trunc(value) + 0;
    return Number.isSafeInteger(whole) ? whole : BigInt(whole);
  }
  if (typeof value === 'string') {
    const digits = numeral(value);
    if (!/^[+-]?[0-9]+$/.test(digits))
      throw new ConversionError(`invalid literal for int() with base 10: ${quoted(value)}`);
    const count = digits.replace(/^[+-]/, '').length;
    if (count > 4300)
      throw new ConversionError(
        `Exceeds the limit (4300 digits) for integer string conversion: value has ${count} digits; use sys.set_int_max_str_digits() to increase the limit`,
      );
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
  if (typeof value === 'bigint') {
    if (!Number.isFinite(Number(value))) throw new ConversionError('int too large to convert to float');
    return Number(value);
  }
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value === 'string') {
    const text = numeral(value);
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
