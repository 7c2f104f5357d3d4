/** The options that hold for a request: the caller's, with the request's `override_settings` over them. */

import type { ServerContext } from '../../context.ts';
import { unfit } from '../../http/problem.ts';
import { checkOptions, optionsOf } from './option-table.ts';

export type Options = ReturnType<typeof optionsOf>;

/** Throws `invalid-argument` at `override_settings`. */
export function requestOptions(
  context: ServerContext,
  owner: string,
  overrides: Readonly<Record<string, unknown>>,
): Options {
  const checked = checkOptions(overrides);
  if (!checked.success) throw unfit(['body', 'override_settings'], checked.error);
  return { ...optionsOf(context, owner), ...checked.data };
}
