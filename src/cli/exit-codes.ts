/** Exit codes, and how an error is printed: one line, or JSON. */

import { StableDiffusionError } from '../errors.ts';
import { UsageError } from './options.ts';

export const exitCodes = {
  ok: 0,
  /** The command failed; for `inspect`, the file would not load; for `replay`, the picture differs. */
  failure: 1,
  /** Invalid command line or option value. */
  usage: 2,
  /** `sd inspect`: a file that can be read, of a family that this program does not load. */
  notAModel: 3,
  /** Ctrl-C: 128 + SIGINT. */
  interrupted: 130,
} as const;

export interface ErrorReport {
  /** A code of `StableDiffusionError`, `usage` for an invalid command line, or `internal` for a bug. */
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
}

/** Characters of a message: names of a stranger's file may have a megabyte. */
const mostCharacters = 4000;

export function reportError(error: unknown): ErrorReport {
  const { code, message, exitCode } = reportOf(error);
  return {
    code,
    message: message.length > mostCharacters ? `${message.slice(0, mostCharacters)}…` : message,
    exitCode,
  };
}

function reportOf(error: unknown): ErrorReport {
  if (error instanceof UsageError) return { code: 'usage', message: error.message, exitCode: exitCodes.usage };
  if (error instanceof StableDiffusionError) {
    const exitCode =
      error.code === 'aborted'
        ? exitCodes.interrupted
        : error.code === 'invalid-argument' || error.code === 'file-exists'
          ? exitCodes.usage
          : exitCodes.failure;
    return { code: error.code, message: error.message, exitCode };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { code: 'internal', message, exitCode: exitCodes.failure };
}

/** One line for people. */
export function errorLine({ code, message }: ErrorReport): string {
  return `sd: ${message
    .split('\n')
    .map((line) => line.trim())
    .join(' ')} [${code}]\n`;
}

/** One line for machines. */
export function errorJson({ code, message }: ErrorReport): string {
  return `${JSON.stringify({ error: { code, message } })}\n`;
}
