/** A flag of the command line whose value goes into the request: what rows of the tables of flags are made of. */

import type { Bounds } from '../generation/bounds.ts';
import { type Option, type Range, UsageError } from './options.ts';

/** An option whose value goes into the request. */
export interface RequestFlag<T> extends Option<T> {
  /** Where, with dots: `noiseSettings.subseed`. */
  readonly path: string;
  /** The value that a switch sets. Default true. */
  readonly sets?: boolean;
}

export function at<T>(path: string, option: Option<T>, sets?: boolean): RequestFlag<T> {
  return { ...option, path, ...(sets === undefined ? {} : { sets }) };
}

/** A size such as 512x768. */
export function sizeFlag(
  flags: readonly string[],
  help: string,
): Option<{ readonly width: number; readonly height: number } | undefined> {
  return {
    flags,
    value: 'WxH',
    description: help,
    parse: (given) => {
      const [, width, height] = /^(\d{1,5})x(\d{1,5})$/i.exec(given) ?? [];
      if (width === undefined || height === undefined)
        throw new UsageError(`must be a size such as 512x768, got ${JSON.stringify(given)}.`);
      return { width: Number(width), height: Number(height) };
    },
  };
}

/** Bounds that a flag's parser checks; the schema checks the rest. A message with one bound is shorter. */
export const within = ({ min, max }: Bounds): Range => (max <= 1 ? { min, max } : min >= 0 ? { min } : {});
