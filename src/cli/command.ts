/** What a command is, and what it is given to work with: nothing of the process is reached but through `CliContext`. */

import { flag, type OptionTable, type OptionValues } from './options.ts';

/** Where text goes: standard output or standard error. */
export interface TextOutput {
  write(text: string): void;
  /** Whether a person reads it as it is written. */
  readonly isTerminal: boolean;
  /** Characters in a line. */
  readonly columns: number;
  /** Lines that a terminal shows at a time, where it tells. */
  readonly rows?: number;
}

export interface CliContext {
  /** Results: paths, tables, JSON. */
  readonly out: TextOutput;
  /** Progress, notes, errors. */
  readonly err: TextOutput;
  /** Standard input. */
  readonly input: AsyncIterable<Uint8Array>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Fires at Ctrl-C. */
  readonly signal: AbortSignal;
  /** Milliseconds, from any beginning. */
  readonly now: () => number;
  /** How many milliseconds the command may take to end after Ctrl-C; without it little more than a second. */
  readonly setPatience?: (milliseconds: number) => void;
}

export interface Command<S extends OptionTable = OptionTable> {
  /** A sentence or two. */
  readonly description: string;
  /** The words besides options: `[prompt...]`, `<file>`. */
  readonly words?: string;
  /** What the first of them may be, for completion. */
  readonly wordChoices?: readonly string[];
  readonly options: S;
  /** Command lines. */
  readonly examples: readonly string[];
  /** Does the work; resolves to the exit code. Throws `StableDiffusionError` or `UsageError`. */
  run(context: CliContext, words: readonly string[], values: OptionValues<S>): Promise<number>;
}

/** A row of the table of commands. */
export interface CommandEntry {
  readonly name: string;
  /** For the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** The options that every command has besides its own. */
export const commonOptions = { verbose: flag(['--verbose'], 'with an error, also where in the program it came from') };

/** The command itself; so that its options' types are inferred. */
export function defineCommand<S extends OptionTable>(command: Command<S>): Command<S> {
  return command;
}
