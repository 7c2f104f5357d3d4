/** Validation of a configuration against its schema, with a `StableDiffusionError` that names each wrong field. */

import type * as z from 'zod';
import { type ErrorCode, StableDiffusionError } from '../errors.ts';

/** The parsed value, defaults filled in. Throws `code` (default `config-invalid`) with every issue and its path. */
export function validated<S extends z.ZodType>(
  schema: S,
  value: unknown,
  what: string,
  code: ErrorCode = 'config-invalid',
): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.slice(0, 8).map((issue) => {
    const path = issue.path.map(String).join('.');
    return path === '' ? issue.message : `${path}: ${issue.message}`;
  });
  throw new StableDiffusionError(code, `${what} is not one we can build. ${issues.join('; ')}.`, {
    details: { issues },
  });
}

/** Throws `config-invalid` with a message. */
export function configError(message: string, details: Readonly<Record<string, unknown>> = {}): StableDiffusionError {
  return new StableDiffusionError('config-invalid', message, { details });
}

export type Mapping = Readonly<Record<string, unknown>>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value` as a mapping of names to values; throws `config-invalid` where it is something else. */
export function mapping(value: unknown, what: string): Mapping {
  if (isMapping(value)) return value;
  const found =
    value === null || value === undefined ? 'nothing' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
  throw configError(`${what} should be a mapping of names to values, and is ${found}.`);
}
