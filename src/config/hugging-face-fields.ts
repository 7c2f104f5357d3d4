/** Reading single fields of a Hugging Face `config.json`, each with an error that names it. */

import { configError, type Mapping } from './validate.ts';

/** Throws `config-invalid` if a field has an unsupported value. */
export function refuseOthers(json: Mapping, allowed: Readonly<Record<string, readonly unknown[]>>, what: string): void {
  for (const [name, values] of Object.entries(allowed)) {
    const value = json[name];
    if (value === undefined || value === null || values.includes(value)) continue;
    throw configError(
      `${what}: ${name} is ${JSON.stringify(value)}, which is not supported; it should be ${values.length > 0 ? values.map((item) => JSON.stringify(item)).join(' or ') : 'null'}.`,
    );
  }
}

/** A list of names or numbers; throws `config-invalid` where it is something else. */
export function listOf<T extends 'string' | 'number'>(
  json: Mapping,
  name: string,
  type: T,
  what: string,
): readonly (T extends 'string' ? string : number)[] {
  const value = json[name];
  if (!Array.isArray(value) || value.length === 0 || value.length > 16 || value.some((item) => typeof item !== type)) {
    throw configError(`${what}: ${name} should be a list of 1 to 16 ${type}s, and is ${JSON.stringify(value)}.`);
  }
  return value;
}

/** Widths of levels as multiples of the first. */
export function multiples(widths: readonly number[], what: string): readonly number[] {
  const first = widths[0] ?? 1;
  const odd = widths.find((width) => width % first !== 0);
  if (odd !== undefined)
    throw configError(`${what}: block_out_channels has ${odd}, which is not a multiple of the first level's ${first}.`);
  return widths.map((width) => width / first);
}
