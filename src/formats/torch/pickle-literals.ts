/** Numbers and texts in a pickle: decimal digits and quoted texts of protocol 0, and whole numbers as little-endian bytes. */

import type { PickleReader } from './pickle-reader.ts';
import type { PythonValue } from './python-value.ts';

const maximumLongBytes = 1024;
const maximumDigits = 4300;

/** A whole number in decimal digits. */
export function wholeNumber(reader: PickleReader, digits: string): number | bigint {
  if (!/^[+-]?[0-9]+$/.test(digits))
    throw reader.corrupt(`${JSON.stringify(digits.slice(0, 40))} is not a whole number`);
  if (digits.length > maximumDigits) throw reader.corrupt(`a whole number has ${digits.length} digits`);
  return narrow(BigInt(digits.replace('+', '')));
}

/** A whole number as two's complement in `length` little-endian bytes. */
export function longNumber(reader: PickleReader, length: number): number | bigint {
  if (length < 0) throw reader.corrupt(`a whole number has ${length} bytes`);
  if (length > maximumLongBytes) {
    reader.take(length);
    throw reader.corrupt(`a whole number has ${length} bytes`);
  }
  const bytes = reader.byteString(length);
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] ?? 0);
  return narrow(BigInt.asIntN(8 * length, value));
}

/** A floating-point number as Python's repr writes it. */
export function floatNumber(reader: PickleReader, digits: string): PythonValue {
  const named = { nan: Number.NaN, inf: Infinity, '-inf': -Infinity }[digits];
  const value = named ?? Number(digits);
  if (digits.trim() === '' || (Number.isNaN(value) && named === undefined))
    throw reader.corrupt(`${JSON.stringify(digits.slice(0, 40))} is not a number`);
  return { kind: 'float', value };
}

/** A line that is a text of protocol 0, in its plain form without escapes. */
export function plainText(reader: PickleReader, value: string): string {
  if (value.includes('\\'))
    throw reader.refusal('file-unsupported', 'has a text with escapes of protocol 0, which are not supported.');
  return value;
}

/** A Python 2 string literal in quotes. */
export function quotedText(reader: PickleReader, value: string): string {
  const quote = value.charAt(0);
  if (value.length < 2 || (quote !== "'" && quote !== '"') || !value.endsWith(quote))
    throw reader.corrupt('a text lacks its quotes');
  return plainText(reader, value).slice(1, -1);
}

function narrow(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
