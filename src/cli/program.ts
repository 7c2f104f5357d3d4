/** The program `sd`: finds the command, parses its options, runs it, and turns what goes wrong into a line and an exit code. */

import { Command as Parser, CommanderError, InvalidArgumentError, Option as ParserOption } from 'commander';
import { StableDiffusionError } from '../errors.ts';
import { normalizeArguments } from './arguments.ts';
import { type CliContext, type Command, commonOptions } from './command.ts';
import { commands } from './commands.ts';
import { errorJson, errorLine, exitCodes, reportError } from './exit-codes.ts';
import { type Option, type OptionTable, UsageError } from './options.ts';

const exitCodeHelp = `
Exit codes: 0 done; 1 it failed; 2 the command line cannot work; 130 interrupted with Ctrl-C.
`;

/** Runs one command line (without the program's name); resolves to the exit code. Never throws. */
export async function runCli(words: readonly string[], context: CliContext, version: string): Promise<number> {
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
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exitCodes.ok;
    // The parser has written its own line for people.
    if (words.includes('--json'))
      context.out.write(
        errorJson({ code: 'usage', message: error.message.replace(/^error: /, ''), exitCode: exitCodes.usage }),
      );
    return exitCodes.usage;
  }
  const report = reportError(error);
  if (words.includes('--json')) context.out.write(errorJson(report));
  else context.err.write(errorLine(report));
  const unexpected = report.code === 'internal';
  if (words.includes('--verbose') && error instanceof Error) context.err.write(`${traceOf(error)}\n`);
  else if (unexpected)
    context.err.write(
      'This is an error in the program. Run the command again with --verbose and report what it prints.\n',
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
  await overview(context, version).parseAsync(name === undefined ? ['--help'] : [...words], { from: 'user' });
  return exitCodes.ok;
}

function parserFor(name: string, context: CliContext): Parser {
  return new Parser(name)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.out.write(text),
      writeErr: (text) => context.err.write(text),
      getOutHelpWidth: () => context.out.columns,
      getErrHelpWidth: () => context.err.columns,
      outputError: (text, write) => write(text.replace(/^error: /, 'sd: ')),
    })
    .showHelpAfterError(name === 'sd' ? 'See: sd --help' : `See: ${name} --help`);
}

/** The parser without a command: list of commands, version, and what to say to a command that is not there. */
function overview(context: CliContext, version: string): Parser {
  const parser = parserFor('sd', context)
    .description('Stable Diffusion in TypeScript: pictures from text, from pictures, and of missing parts.')
    .version(version, '-V, --version', 'print the version')
    .usage('COMMAND [options]')
    .helpOption('-h, --help', 'help; sd COMMAND --help for one command');
  for (const { name, summary } of commands) parser.command(name).description(summary);
  return parser.addHelpText('after', `\nExample:\n  $ sd txt2img "a red apple" --steps 20\n${exitCodeHelp}`);
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
    .helpOption('-h, --help', 'this help');
  if (command.words) parser.arguments(command.words);
  const attributes = new Map<string, string>();
  for (const [key, option] of Object.entries(options)) {
    const made = parserOption(option);
    attributes.set(key, made.attributeName());
    parser.addOption(made);
  }
  if (command.examples.length > 0)
    parser.addHelpText('after', `\nExamples:\n${command.examples.map((line) => `  $ ${line}\n`).join('')}`);
  parser.addHelpText('after', exitCodeHelp);
  parser.parse(normalizeArguments(words, options), { from: 'user' });
  const given: Record<string, unknown> = parser.opts();
  const values = Object.fromEntries(
    Object.entries(command.options).map(([key, option]) => [
      key,
      optionValue(option, given[attributes.get(key) ?? key]),
    ]),
  );
  return command.run(context, parser.args, values);
}

function parserOption({ flags, value, description, parse, repeats }: Option<unknown>): ParserOption {
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
        throw error instanceof UsageError ? new InvalidArgumentError(error.message) : error;
      }
    });
  }
  return made;
}

/** A switch is true where it is there; the parser has `--no-…` the other way round. */
function optionValue({ flags, value }: Option<unknown>, given: unknown): unknown {
  if (value !== undefined) return given;
  return flags[0]?.startsWith('--no-') ? given === false : given === true;
}
