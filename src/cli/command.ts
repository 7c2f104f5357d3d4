/** What a command is. A command reaches the process (output, input, environment, signals) only through `CliContext`. */

import { visibleLines } from '../visible.ts';
import { flag, type OptionTable, type OptionValues } from './options.ts';

/** Where text goes: standard output or standard error. */
export interface RawOutput {
  write(text: string): void;
  /** Whether it is an interactive terminal. */
  readonly isTerminal: boolean;
  /** Width in characters. */
  readonly columns: number;
  /** Height of the terminal in lines, if known. */
  readonly rows?: number | undefined;
}

/** Output of a command: `write` shows what a terminal would obey as escapes, since much of what is written comes from files of others. */
export interface TextOutput extends RawOutput {
  /** Writes control sequences of our own, and pictures made of them. */
  control(sequence: string): void;
}

/** The output that commands get. */
export function textOutput(output: RawOutput): TextOutput {
  return {
    ...output,
    write: (text) => output.write(visibleLines(text)),
    control: (sequence) => output.write(sequence),
  };
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
  /** A clock in milliseconds with an arbitrary origin. */
  readonly now: () => number;
  /** Version of the program. */
  readonly version?: string;
  /** Calls back at a signal, which then does nothing else. */
  readonly onSignal?: (signal: 'SIGUSR1', callback: () => void) => void;
  /** Takes another signal as Ctrl-C too. */
  readonly alsoStopAt?: (signal: 'SIGUSR1') => void;
  /** Sets how many milliseconds the command may take to end after Ctrl-C (default: 1500). */
  readonly setPatience?: (milliseconds: number) => void;
}

export interface Command<S extends OptionTable = OptionTable> {
  /** One or two sentences. */
  readonly description: string;
  /** Positional arguments: `[prompt...]`, `<file>`. */
  readonly words?: string;
  /** Values of the first argument that shell completion offers. */
  readonly wordChoices?: readonly string[];
  readonly options: S;
  /** Options may also come from the environment and from a file that the option `settings` names (outside-settings.ts). */
  readonly takesSettings?: boolean;
  /** Example command lines, for help. */
  readonly examples: readonly string[];
  /** Runs the command; resolves to the exit code. Throws `StableDiffusionError` or `UsageError`. */
  run(context: CliContext, words: readonly string[], values: OptionValues<S>): Promise<number>;
}

/** The process's side of a command: its outputs. */
export type CliProcess = Omit<CliContext, 'out' | 'err'> & { readonly out: RawOutput; readonly err: RawOutput };

/** A row of the table of commands. */
export interface CommandEntry {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Options that every command has. */
export const commonOptions = { verbose: flag(['--verbose'], 'print a stack trace on errors') };

/** Returns the command unchanged, with the types of its options inferred. */
export function defineCommand<S extends OptionTable>(command: Command<S>): Command<S> {
  return command;
}
