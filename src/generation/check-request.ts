/** A request of any origin, checked: complete with its defaults, or refused by the name of the field that is wrong. */

import type * as z from 'zod';
import { shown } from '../arguments.ts';
import { nearNames } from '../config/near-names.ts';
import { StableDiffusionError } from '../errors.ts';
import { type GenerationRequest, requestSchema, requestSchemas, type RequestOf, type Task } from './request.ts';

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inside, key) =>
      typeof inside === 'object' && inside !== null ? (inside as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

/** `samplerSettings.restarts[0].steps`. */
const pathText = (path: readonly PropertyKey[]): string =>
  path.map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i > 0 ? '.' : ''}${String(key)}`)).join('');

function issueMessage(issue: z.core.$ZodIssue, given: unknown, names: readonly string[]): string {
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    const [near] = nearNames(key, names, 1);
    return `Unknown option ${shown(pathText([...issue.path, key]))}. ${near === undefined ? `The options are ${names.join(', ')}.` : `Did you mean ${near}?`}`;
  }
  if (issue.path.length === 0) return `The request is ${shown(given)}; it must be ${issue.message}.`;
  return `${pathText(issue.path)} is ${shown(valueAt(given, issue.path))}; it must be ${issue.message}.`;
}

/** The error of a value that a schema refuses. `names` are the options that exist, for those that do not. */
export function refusal(error: z.ZodError, given: unknown, names: readonly string[]): StableDiffusionError {
  const [issue] = error.issues;
  const message = issue ? issueMessage(issue, given, names) : 'The request is not valid.';
  return new StableDiffusionError('invalid-argument', message, {
    details: { field: issue?.path.map(String).join('.') },
  });
}

/** Throws `invalid-argument`, naming the field, what was found and what was expected. */
export function checkRequest(request: unknown): GenerationRequest {
  const parsed = requestSchema.safeParse(request);
  if (parsed.success) return parsed.data;
  const task = (typeof request === 'object' && request !== null && 'task' in request ? request.task : '') as Task;
  throw refusal(parsed.error, request, Object.hasOwn(requestSchemas, task) ? fieldNames(task) : []);
}

/** Names of the fields of a task's request. */
export function fieldNames(task: Task): readonly string[] {
  return Object.keys(requestSchemas[task].shape);
}

/** Like `checkRequest`, for one task. */
export function checkRequestOf<T extends Task>(task: T, request: object): RequestOf<T> {
  return checkRequest({ ...request, task }) as RequestOf<T>;
}
