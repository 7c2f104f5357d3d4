/**
 * Options of long-running commands that are not on the command line: environment variables (`SD_MAX_QUEUE` for `--max-queue`) and a YAML file
 * with the options' names (`max-queue: 100`). The command line counts before the environment, and that before the file.
 */

import { parseYaml } from '../config/yaml.ts';
import { nearNames } from '../config/near-names.ts';
import { readTextOf } from '../files/open-node.ts';
import { type Option, type OptionTable, UsageError } from './options.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The flag's name without dashes: `max-queue`. */
const nameOf = ({ flags: [first = ''] }: Option<unknown>): string => first.replace(/^--?/, '').replaceAll('_', '-');

/** `SD_MAX_QUEUE` */
export const variableOf = (option: Option<unknown>): string =>
  `SD_${nameOf(option).replaceAll('-', '_').toUpperCase()}`;

const switches: Readonly<Record<string, boolean>> = {
  true: true,
  1: true,
  yes: true,
  on: true,
  false: false,
  0: false,
  no: false,
  off: false,
};

/** Reads one value; `where` is what messages call it. Throws `UsageError`. */
function read(option: Option<unknown>, texts: readonly string[], where: string): unknown {
  const [text = ''] = texts;
  if (option.value === undefined) {
    const found = switches[text.toLowerCase()];
    if (found === undefined) throw new UsageError(`${where} must be true or false, got ${JSON.stringify(text)}.`);
    return found;
  }
  try {
    if (!option.repeats) return option.parse?.(text);
    return texts.flatMap((one) => (option.parse?.(one) ?? []) as readonly unknown[]);
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(`${where} ${error.message}`) : error;
  }
}

function fromEnvironment(options: OptionTable, environment: Environment): Record<string, unknown> {
  const found: Record<string, unknown> = {};
  for (const [key, option] of Object.entries(options)) {
    const name = variableOf(option);
    const text = environment[name];
    if (text === undefined || text === '') continue;
    found[key] = read(option, option.repeats ? text.split(',').filter(Boolean) : [text], name);
  }
  return found;
}

async function fromFile(options: OptionTable, path: string): Promise<Record<string, unknown>> {
  const document = parseYaml(await readTextOf('configuration', path), path);
  if (document === null || document === undefined) return {};
  if (typeof document !== 'object' || Array.isArray(document))
    throw new UsageError(`${path} must be a list of options, one a line, such as port: 8080.`);
  const byName = new Map(Object.entries(options).map(([key, option]) => [nameOf(option), { key, option }]));
  const found: Record<string, unknown> = {};
  for (const [given, value] of Object.entries(document)) {
    const row = byName.get(given.replaceAll('_', '-'));
    if (!row) {
      const [near] = nearNames(given, [...byName.keys()]);
      throw new UsageError(
        `${path} has the unknown option ${JSON.stringify(given)}.${near === undefined ? '' : ` Did you mean ${near}?`}`,
      );
    }
    if (value === null) continue;
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (values.some((one) => typeof one === 'object') || (values.length > 1 && !row.option.repeats))
      throw new UsageError(
        `${given} in ${path} must be ${row.option.repeats ? 'a value or a list of values' : 'one value'}.`,
      );
    found[row.key] = read(row.option, values.map(String), `${given} in ${path}`);
  }
  return found;
}

/** The values of options that are not on the command line. Throws `UsageError`, `file-not-found`, `config-invalid`. */
export async function outsideSettings(
  options: OptionTable,
  environment: Environment,
  file: string | undefined,
): Promise<Record<string, unknown>> {
  return {
    ...(file === undefined ? {} : await fromFile(options, file)),
    ...fromEnvironment(options, environment),
  };
}
