/**
 * The one error class of the library, and its stable codes.
 *
 * A message says what was wrong, what was found, what was expected, and what to do. Programs look at `code`, people at `message`.
 */

import { visibleLines } from './visible.ts';

export type ErrorCode =
  /** An argument or option has a value that cannot work. */
  | 'invalid-argument'
  /** A file or folder is not there. */
  | 'file-not-found'
  /** A file exists and could not be read or written (permissions, a full disk, a failing device). */
  | 'file-access'
  /** A file of that name exists, and nothing said that it may be replaced. */
  | 'file-exists'
  /** A file ends before its own header says it does. */
  | 'file-truncated'
  /** A file is not of the format it should be of, or breaks that format's rules. */
  | 'file-corrupt'
  /** A file asks for code to be run or for a class that is not on the list of harmless ones. */
  | 'file-unsafe'
  /** A file is of a known format, and uses a part of it that is not supported. */
  | 'file-unsupported'
  /** A checkpoint lacks parameters, or has others or other shapes than its network needs. */
  | 'weights-mismatch'
  /** The architecture of a checkpoint could not be told from its names and shapes. */
  | 'model-unknown'
  /** A model configuration (YAML, JSON) is not one we can build. */
  | 'config-invalid'
  /** A tensor has another shape or dtype than the operation or network wants. */
  | 'shape-mismatch'
  /** The request needs more memory than is allowed or there. */
  | 'too-large'
  /** An execution provider or device is not there, or failed. */
  | 'engine-unavailable'
  /** A program failed while it ran. */
  | 'engine-failed'
  /** The work was cancelled through its AbortSignal. */
  | 'aborted'
  /** A number became NaN or infinite where that ends the work. */
  | 'not-finite'
  /** A network request failed. */
  | 'network'
  /** A model, job or picture that was asked for by its name is not there. */
  | 'not-found'
  /** A service has no room for more work now; `details.retryAfter` says in how many seconds to ask again. */
  | 'busy'
  /** A key is missing or wrong, or what was asked for is not allowed. */
  | 'forbidden';

export interface ErrorOptionsWithDetails {
  readonly cause?: unknown;
  /** Facts for programs: names, sizes, offsets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

export class StableDiffusionError extends Error {
  override readonly name = 'StableDiffusionError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptionsWithDetails = {}) {
    super(visibleLines(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** Throws `aborted` if the signal has fired. Called at every step of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new StableDiffusionError('aborted', 'The work was cancelled.', { cause: signal.reason });
  }
}
