/** The options of a command as data: flags, value, help, and how the value is parsed. `program.ts` hands them to the argument parser. */

/** Invalid command line or option value. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Option<T> {
  /** Help lists the first flag first; the others are aliases. `_` and `-` inside a name are the same. */
  readonly flags: readonly string[];
  /** Placeholder of the value in help, such as `N` or `FILE`; undefined for a switch. */
  readonly value?: string;
  readonly description: string;
  /** Reads the value. Throws a `UsageError` whose message continues the flag: `must be a whole number, got "abc".` */
  readonly parse?: (text: string) => T;
  /** The option can be repeated: `parse` returns lists, which are joined. */
  readonly repeats?: boolean;
  /** Flags without one of which this option has no effect, and is refused (`needed-options.ts`). */
  readonly needs?: readonly string[];
  /** Flags with which it is refused. */
  readonly excludes?: readonly string[];
  /** Values that shell completion offers. */
  readonly choices?: readonly string[];
}

/** Options by the name under which a command reads them. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

export type OptionValues<S extends OptionTable> = { readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never };

/** A switch: false unless present. */
export function flag(flags: readonly string[], description: string): Option<boolean> {
  return { flags, description };
}

/** Any text. Shell completion offers `choices`; other values are allowed too. */
export function text(
  flags: readonly string[],
  value: string,
  description: string,
  choices?: readonly string[],
): Option<string | undefined> {
  return { flags, value, description, parse: (given) => given, ...(choices ? { choices } : {}) };
}

export interface Range {
  readonly min?: number;
  readonly max?: number;
}

export function number(flags: readonly string[], description: string, range: Range = {}): Option<number | undefined> {
  return { flags, value: 'X', description, parse: (given) => readNumber(given, range) };
}

/** A whole number. */
export function integer(flags: readonly string[], description: string, range: Range = {}): Option<number | undefined> {
  return { flags, value: 'N', description, parse: (given) => readInteger(given, range) };
}

/** Whole numbers, separated by commas. */
export function integers(
  flags: readonly string[],
  description: string,
  range: Range = {},
): Option<readonly number[] | undefined> {
  return {
    flags,
    value: 'N,…',
    description,
    parse: (given) => given.split(',').map((part) => readInteger(part.trim(), range)),
  };
}

/** An option that can be repeated. */
export function list<T>(
  flags: readonly string[],
  value: string,
  description: string,
  read: (given: string) => T,
): Option<readonly T[] | undefined> {
  return { flags, value, description, repeats: true, parse: (given) => [read(given)] };
}

/** One of a few words; `also` maps synonyms to them. */
export function choice<T extends string>(
  flags: readonly string[],
  words: readonly T[],
  description: string,
  also: Readonly<Record<string, T>> = {},
): Option<T | undefined> {
  const choices = [...words, ...Object.keys(also)];
  return {
    flags,
    value: 'NAME',
    description: `${description} [${words.join(', ')}]`,
    choices,
    parse: (given) => {
      const found = words.find((word) => word === given) ?? (Object.hasOwn(also, given) ? also[given] : undefined);
      if (found === undefined)
        throw new UsageError(`must be one of ${choices.join(', ')}, got ${JSON.stringify(given)}.`);
      return found;
    },
  };
}

/** The value of a required option. Throws `UsageError` if it is missing. */
export function required(value: string | undefined, flag: string, command: string): string {
  if (value === undefined) throw new UsageError(`${flag} is required. See sd ${command} --help.`);
  return value;
}

function readNumber(given: string, { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Range): number {
  const value = given.trim() === '' ? Number.NaN : Number(given);
  if (!Number.isFinite(value)) throw new UsageError(`must be a number, got ${JSON.stringify(given)}.`);
  if (value < min || value > max) throw new UsageError(`must be ${rangeText(min, max)}, got ${given}.`);
  return value;
}

function readInteger(given: string, range: Range): number {
  if (!/^[+-]?\d+$/.test(given)) throw new UsageError(`must be a whole number, got ${JSON.stringify(given)}.`);
  const value = readNumber(given, range);
  if (!Number.isSafeInteger(value)) throw new UsageError(`must be at most ${Number.MAX_SAFE_INTEGER}, got ${given}.`);
  return value;
}

function rangeText(min: number, max: number): string {
  if (max === Number.POSITIVE_INFINITY) return `at least ${min}`;
  return min === Number.NEGATIVE_INFINITY ? `at most ${max}` : `between ${min} and ${max}`;
}
