/** Options of a command as data: their flags, what they take and how it is read. `program.ts` gives them to the argument parser. */

/** The words on the command line cannot be understood. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Option<T> {
  /** The first is the one shown first; the others mean the same. `_` and `-` inside a name are the same. */
  readonly flags: readonly string[];
  /** What it takes, for help: `N`, `FILE`; undefined for a switch. */
  readonly value?: string;
  readonly description: string;
  /** Its value from the text given. Throws `UsageError`. */
  readonly parse?: (text: string) => T;
  /** It may be given several times: `parse` gives lists, which are joined. */
  readonly repeats?: boolean;
  /** Words it may be, for completion. */
  readonly choices?: readonly string[];
}

/** Options by the name under which a command reads them. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

export type OptionValues<S extends OptionTable> = { readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never };

/** A switch: false unless it is there. */
export function flag(flags: readonly string[], description: string): Option<boolean> {
  return { flags, description };
}

/** Any text. `choices` are words that a shell proposes; others are taken too. */
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

/** Whole numbers with commas between them. */
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

/** An option that may be given several times. */
export function list<T>(
  flags: readonly string[],
  value: string,
  description: string,
  read: (given: string) => T,
): Option<readonly T[] | undefined> {
  return { flags, value, description, repeats: true, parse: (given) => [read(given)] };
}

/** One of a few words; `also` maps further words to them. */
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
      if (found === undefined) throw new UsageError(`It is one of ${choices.join(', ')}.`);
      return found;
    },
  };
}

/** An option's text, without which the command cannot work. Throws `UsageError`. */
export function required(value: string | undefined, flag: string, command: string): string {
  if (value === undefined) throw new UsageError(`${flag} is missing. See: sd ${command} --help`);
  return value;
}

function readNumber(given: string, { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY }: Range): number {
  const value = given.trim() === '' ? Number.NaN : Number(given);
  if (!Number.isFinite(value)) throw new UsageError('It is a number.');
  if (value < min || value > max) throw new UsageError(`It is ${rangeText(min, max)}.`);
  return value;
}

function readInteger(given: string, range: Range): number {
  if (!/^[+-]?\d+$/.test(given)) throw new UsageError('It is a whole number.');
  const value = readNumber(given, range);
  if (!Number.isSafeInteger(value)) throw new UsageError(`It is at most ${Number.MAX_SAFE_INTEGER}.`);
  return value;
}

function rangeText(min: number, max: number): string {
  if (max === Number.POSITIVE_INFINITY) return `at least ${min}`;
  return min === Number.NEGATIVE_INFINITY ? `at most ${max}` : `from ${min} to ${max}`;
}
