/** An error of a check, in the form of ComfyUI's answers. */

export interface ValidationError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: Readonly<Record<string, unknown>>;
}

export function validationError(
  type: string,
  message: string,
  details: string,
  extra_info: Readonly<Record<string, unknown>> = {},
): ValidationError {
  return { type, message, details, extra_info };
}

/** What ComfyUI's check ends at with an exception: Python's name of it and its message. */
export class CheckFailed extends Error {
  readonly exception: string;

  constructor(exception: string, message: string) {
    super(message);
    this.exception = exception;
  }
}

/** The error of an exception, in the node of an output or in one before it. */
export function exceptionError(
  type: 'exception_during_validation' | 'exception_during_inner_validation',
  { exception, message }: CheckFailed,
): ValidationError {
  const what =
    type === 'exception_during_validation' ? 'Exception when validating node' : 'Exception when validating inner node';
  return validationError(type, what, message, { exception_type: exception, traceback: [] });
}
