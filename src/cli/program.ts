/** The program `sd`: finds the command, parses its options, runs it, and turns errors into one line and an exit code. */

import { Command as Parser, CommanderError, Option as ParserOption } from 'commander';
import { StableDiffusionError } from '../errors.ts';
import { givenFlag, normalizeArguments } from './arguments.ts';
import { type CliContext, type CliProcess, type Command, commonOptions, textOutput } from './command.ts';
import { commands } from './commands.ts';
import { errorJson, errorLine, exitCodes, reportError } from './exit-codes.ts';
import { checkTogether } from './needed-options.ts';
import { type Option, type OptionTable, UsageError } from './options.ts';
import { usageMessage } from './usage-message.ts';

const exitCodeHelp = `
Exit codes: 0 success; 1 failure; 2 invalid command line; 130 interrupted with Ctrl-C.
`;

/** Runs one command line (without the program's name); resolves to the exit code. Never throws. */
export async function runCli(words: readonly string[], given: CliProcess, version: string): Promise<number> {
  const context: CliContext = { ...given, version, out: textOutput(given.out), err: textOutput(given.err) };
  try {
    return await dispatch(words, context, version);
  } catch (error) {
    const cancelled =
      context.signal.aborted && !(error instanceof CommanderError)
        ? new StableDiffusionError('aborted', 'Interrupted.')
        : error;
    return fail(cancelled, words, context);
  }
}

function fail(error: unknown, words: readonly string[], context: CliContext): number {
  // The parser ends help and version by an error too.
  if (error instanceof CommanderError && error.exitCode === 0) return exitCodes.ok;
  const report = reportError(error);
  if (words.includes('--json')) context.out.write(errorJson(report));
  else context.err.write(errorLine(report));
  const unexpected = report.code === 'internal';
  if (words.includes('--verbose') && error instanceof Error) context.err.write(`${traceOf(error)}\n`);
  else if (unexpected)
    context.err.write(
      'This is a bug in the program. Run the command again with --verbose and report what it prints.\n',
    );
  return report.exitCode;
}

function traceOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${traceOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}

async function dispatch(words: readonly string[], context: CliContext, version: string): Promise<number> {
  const [first, ...rest] = words;
  const [name, wanted] = first === 'help' && rest[0] !== undefined ? [rest[0], ['--help']] : [first, rest];
  const entry = commands.find((candidate) => candidate.name === name);
  if (entry) return runCommand(entry.name, await entry.load(), wanted, context);
  parseWith(overview(context, version), name === undefined ? ['--help'] : words, {});
  return exitCodes.ok;
}

function parserFor(name: string, context: CliContext): Parser {
  return new Parser(name).exitOverride().configureOutput({
    writeOut: (text) => context.out.write(text),
    writeErr: (text) => context.err.write(text),
    getOutHelpWidth: () => context.out.columns,
    getErrHelpWidth: () => context.err.columns,
    // `fail` prints errors.
    outputError: () => {},
  });
}

/** The parser without a command: the list of commands, the version, and the error for an unknown command. */
function overview(context: CliContext, version: string): Parser {
  const parser = parserFor('sd', context)
    .description('Stable Diffusion in TypeScript: text to image, image to image, inpainting, training and a server.')
    .version(version, '-V, --version', 'print the version')
    .usage('COMMAND [options]')
    .helpOption('-h, --help', 'show this help; sd COMMAND --help shows the help of a command');
  for (const { name, summary } of commands) parser.command(name).description(summary);
  return parser.addHelpText('after', `\nExample:\n  $ sd txt2img "a red apple" --steps 20\n${exitCodeHelp}`);
}

/** Parses; the parser's own errors become usage errors in our words. */
function parseWith(parser: Parser, words: readonly string[], options: OptionTable): void {
  try {
    parser.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode === 0) throw error;
    throw new UsageError(usageMessage(error, parser.name(), options));
  }
}

async function runCommand(
  name: string,
  command: Command,
  words: readonly string[],
  context: CliContext,
): Promise<number> {
  const options: OptionTable = { ...command.options, ...commonOptions };
  const parser = parserFor(`sd ${name}`, context)
    .description(command.description)
    .helpOption('-h, --help', 'show this help');
  if (command.words) parser.arguments(command.words);
  const attributes = new Map<string, string>();
  for (const [key, option] of Object.entries(options)) {
    const made = parserOption(option, words);
    attributes.set(key, made.attributeName());
    parser.addOption(made);
  }
  if (command.examples.length > 0)
    parser.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  $ ${line}\n`).join('')}`);
  parser.addHelpText('after', exitCodeHelp);
  parseWith(parser, normalizeArguments(words, options), options);
  const given: Record<string, unknown> = parser.opts();
  const values = Object.fromEntries(
    Object.entries(command.options).map(([key, option]) => [
      key,
      optionValue(option, given[attributes.get(key) ?? key]),
    ]),
  );
  const all = command.takesSettings ? await withSettings(command, values, context) : values;
  checkTogether(options, values, all);
  return command.run(context, parser.args, all);
}

/** The values with those of the environment and of the settings file where the command line has none. */
async function withSettings(
  { options }: Command,
  values: Readonly<Record<string, unknown>>,
  { environment }: CliContext,
): Promise<Record<string, unknown>> {
  const { outsideSettings } = await import('./outside-settings.ts');
  const file = values['settings'] ?? environment['SD_CONFIG'];
  const outside = await outsideSettings(options, environment, typeof file === 'string' ? file : undefined);
  const isGiven = (value: unknown): boolean => value !== undefined && value !== false;
  return { ...values, ...Object.fromEntries(Object.entries(outside).filter(([key]) => !isGiven(values[key]))) };
}

function parserOption(option: Option<unknown>, words: readonly string[]): ParserOption {
  const { flags, value, description, parse, repeats } = option;
  const [first = '', ...others] = flags;
  const short = others.find((other) => /^-[^-]$/.test(other));
  const aliases = others.filter((other) => other !== short);
  const names = `${short ? `${short}, ` : ''}${first}${value === undefined ? '' : ` <${value}>`}`;
  const made = new ParserOption(
    names,
    aliases.length > 0 ? `${description} (also ${aliases.join(', ')})` : description,
  );
  if (parse) {
    made.argParser((text, earlier: unknown) => {
      try {
        const value = parse(text);
        return repeats && Array.isArray(earlier) && Array.isArray(value) ? [...earlier, ...value] : value;
      } catch (error) {
        throw error instanceof UsageError
          ? new UsageError(`${givenFlag(words, option, text)} ${error.message}`)
          : error;
      }
    });
  }
  return made;
}

/** A switch is true if present; the parser inverts `--no-…`. */
function optionValue({ flags, value }: Option<unknown>, given: unknown): unknown {
  if (value !== undefined) return given;
  return flags[0]?.startsWith('--no-') ? given === false : given === true;
}
