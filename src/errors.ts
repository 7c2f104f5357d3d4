/**
 * The one error class of the library, and its stable codes.
 *
 * A message says what was wrong, what was found, what was expected, and what to do. Programs look at `code`, people at `message`.
 */

import { visibleLines } from './visible.ts';

export type ErrorCode =
  /** An argument or option has an invalid value. */
  | 'invalid-argument'
  /** A file or folder does not exist. */
  | 'file-not-found'
  /** A file could not be read or written (permissions, a full disk, a failing device). */
  | 'file-access'
  /** A file with this name already exists and must not be replaced. */
  | 'file-exists'
  /** A file is shorter than its header states. */
  | 'file-truncated'
  /** A file has the wrong format, or violates the rules of its format. */
  | 'file-corrupt'
  /** A file would run code, or needs a class that is not known to be harmless. */
  | 'file-unsafe'
  /** A file uses an unsupported part of a known format. */
  | 'file-unsupported'
  /** A checkpoint has missing, unexpected or misshapen parameters. */
  | 'weights-mismatch'
  /** The architecture of a checkpoint cannot be inferred from its names and shapes. */
  | 'model-unknown'
  /** A model configuration (YAML, JSON) is invalid or unsupported. */
  | 'config-invalid'
  /** A tensor has the wrong shape or dtype for an operation or network. */
  | 'shape-mismatch'
  /** The request needs more memory than is allowed or available. */
  | 'too-large'
  /** An execution provider or device is missing or failed. */
  | 'engine-unavailable'
  /** A program failed while running. */
  | 'engine-failed'
  /** The operation was cancelled through its AbortSignal. */
  | 'aborted'
  /** A number became NaN or infinite, which stops the operation. */
  | 'not-finite'
  /** A network request failed. */
  | 'network'
  /** A model, job or picture with the given name does not exist. */
  | 'not-found'
  /** A service cannot accept more work now; `details.retryAfter` is the number of seconds to wait. */
  | 'busy'
  /** A key is missing or wrong, or the request is not allowed. */
  | 'forbidden';

export interface ErrorOptionsWithDetails {
  readonly cause?: unknown;
  /** Facts for programs: names, sizes, offsets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The same in each copy of this module: the bundled commands and a module that they import have one each. */
const mark = Symbol.for('stable-diffusion-ts.error');

export class StableDiffusionError extends Error {
  override readonly name = 'StableDiffusionError';
  get [mark](): true {
    return true;
  }
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithDetails = {}) {
    super(visibleLines(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && mark in value;
  }
}

/** Throws `aborted` if the signal has fired. Called at every step of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new StableDiffusionError('aborted', 'The work was cancelled.', { cause: signal.reason });
  }
}
