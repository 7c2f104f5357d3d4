/** Problem: an error as an answer. One table from error codes to statuses; each API has its own words for it (problem-shapes.ts). */

import type * as z from 'zod';
import { type ErrorCode, StableDiffusionError } from '../../errors.ts';
import { withoutFolders } from '../without-folders.ts';

export interface Problem {
  readonly status: number;
  readonly code: ErrorCode | 'bad-request' | 'internal';
  readonly message: string;
  /** Path in the request: ['body', 'steps']. */
  readonly where?: readonly (string | number)[];
  /** The problem of each field. */
  readonly issues?: readonly Issue[];
  /** Seconds. */
  readonly retryAfter?: number;
  /** A further name of the error, where the API has one. */
  readonly name?: string;
}

export interface Issue {
  readonly where: readonly (string | number)[];
  readonly message: string;
  /** pydantic's name of the error. */
  readonly type: string;
}

const statuses: { readonly [C in ErrorCode]: number } = {
  'invalid-argument': 422,
  'file-not-found': 404,
  'file-access': 503,
  'file-exists': 409,
  'file-truncated': 422,
  'file-corrupt': 422,
  'file-unsafe': 422,
  'file-unsupported': 422,
  'weights-mismatch': 422,
  'model-unknown': 422,
  'config-invalid': 422,
  'shape-mismatch': 422,
  'too-large': 413,
  'engine-unavailable': 503,
  'engine-failed': 500,
  aborted: 409,
  'not-finite': 422,
  network: 422,
  'not-found': 404,
  busy: 503,
  forbidden: 403,
};

/** An error at a field of the request. */
export function invalidField(
  where: readonly (string | number)[],
  message: string,
  code: ErrorCode = 'invalid-argument',
): StableDiffusionError {
  return new StableDiffusionError(code, message, { details: { where } });
}

/** Runs `work`; an error of it is then one at a field. */
export async function atField<T>(where: readonly (string | number)[], work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StableDiffusionError) || error.details['where']) throw error;
    throw new StableDiffusionError(error.code, error.message, { cause: error, details: { ...error.details, where } });
  }
}

/** pydantic's words; zod calls an integer a number. */
export const notAnInteger = 'value is not a valid integer';

/** pydantic's name and words for what zod found. */
function issueOf(place: string, issue: z.core.$ZodIssue): Issue {
  const where = [place, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  if (issue.code === 'invalid_type' && issue.input === undefined && /undefined/.test(issue.message))
    return { where, message: 'field required', type: 'value_error.missing' };
  if (issue.message === notAnInteger) return { where, message: issue.message, type: 'type_error.integer' };
  if (issue.code === 'invalid_type') {
    const kinds: Record<string, readonly [string, string]> = {
      int: ['value is not a valid integer', 'type_error.integer'],
      number: ['value is not a valid float', 'type_error.float'],
      boolean: ['value could not be parsed to a boolean', 'type_error.bool'],
      string: ['str type expected', 'type_error.str'],
      array: ['value is not a valid list', 'type_error.list'],
      object: ['value is not a valid dict', 'type_error.dict'],
      record: ['value is not a valid dict', 'type_error.dict'],
    };
    const [message, type] = kinds[issue.expected] ?? [issue.message, 'type_error'];
    return { where, message, type };
  }
  if (issue.code === 'too_small' && issue.origin === 'string')
    return {
      where,
      message: `ensure this value has at least ${issue.minimum} characters`,
      type: 'value_error.any_str.min_length',
    };
  if (issue.code === 'too_big' && issue.origin === 'string')
    return {
      where,
      message: `ensure this value has at most ${issue.maximum} characters`,
      type: 'value_error.any_str.max_length',
    };
  if (issue.code === 'too_small')
    return {
      where,
      message: `ensure this value is greater than or equal to ${issue.minimum}`,
      type: 'value_error.number.not_ge',
    };
  if (issue.code === 'too_big')
    return {
      where,
      message: `ensure this value is less than or equal to ${issue.maximum}`,
      type: 'value_error.number.not_le',
    };
  if (issue.code === 'invalid_value')
    return {
      where,
      message: `unexpected value; permitted: ${issue.values.map(String).join(', ')}`,
      type: 'value_error.const',
    };
  return { where, message: issue.message, type: 'value_error' };
}

/** The problem of a value in a field of the request. */
export function unfit(where: readonly (string | number)[], error: z.ZodError): StableDiffusionError {
  const [issue] = error.issues;
  const problem = issue ? issueOf('', issue) : { where: [], message: 'not valid', type: 'value_error' };
  return new StableDiffusionError('invalid-argument', problem.message, {
    details: { where: [...where, ...problem.where.slice(1)], type: problem.type },
  });
}

/** The problems of a request's body, query or path. */
export function validationProblem(place: 'body' | 'query' | 'path', error: z.ZodError): Problem {
  const issues = error.issues.slice(0, 50).map((issue) => issueOf(place, issue));
  const [first] = issues;
  const at = first ? first.where.slice(1).join('.') : '';
  return {
    status: 422,
    code: 'invalid-argument',
    message: first ? `${at || place}: ${first.message}` : 'The request is not valid.',
    issues,
    ...(first ? { where: first.where } : {}),
  };
}

function isWhere(value: unknown): value is readonly (string | number)[] {
  return Array.isArray(value) && value.every((part) => typeof part === 'string' || typeof part === 'number');
}

/** Converts any error to an answer, without details of unexpected errors. `retryAfter` is for a full queue. */
export function problemOf(error: unknown, retryAfter: number): Problem {
  if (error instanceof StableDiffusionError) {
    const { where, scope, status, name, type } = error.details;
    const message = withoutFolders(error.message);
    const found =
      typeof status === 'number' ? status : error.code === 'busy' && scope === 'caller' ? 429 : statuses[error.code];
    return {
      status: found,
      code: error.code,
      message,
      ...(isWhere(where)
        ? { where, issues: [{ where, message, type: typeof type === 'string' ? type : 'value_error' }] }
        : {}),
      ...(typeof name === 'string' ? { name } : {}),
      ...(found === 429 || found === 503 ? { retryAfter } : {}),
    };
  }
  // Fastify's own: malformed JSON, a body that is too large, a wrong content type.
  const status = (error as { statusCode?: unknown } | undefined)?.statusCode;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    const message = error instanceof Error ? error.message : 'The request is not valid.';
    return { status, code: status === 413 ? 'too-large' : 'bad-request', message };
  }
  return { status: 500, code: 'internal', message: 'Internal server error. The server log has the details.' };
}
