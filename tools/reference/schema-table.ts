/** A table of the fields of a zod schema: name, type, default, description. */

import * as z from 'zod';
import { code, table } from './block.ts';

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly items?: JsonSchema;
  readonly prefixItems?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

/** The type of a value in words. */
function typeOf(schema: JsonSchema): string {
  const { type, items, prefixItems, minimum, maximum, exclusiveMinimum } = schema;
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum) return schema.enum.map((value) => code(String(value))).join(', ');
  const union = schema.anyOf ?? schema.oneOf;
  if (union) return [...new Set(union.map(typeOf))].join(' or ');
  if (prefixItems) return `${prefixItems.length} numbers`;
  if (type === 'array') return `list of ${items ? typeOf(items) : 'values'}`;
  if (type === 'number' || type === 'integer') {
    const word = type === 'integer' ? 'whole number' : 'number';
    const low = exclusiveMinimum === undefined ? minimum : exclusiveMinimum;
    const real = (bound: number | undefined): boolean =>
      bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
    if (real(low) && real(maximum)) return `${word} from ${low} to ${maximum}`;
    if (real(low)) return exclusiveMinimum === undefined ? `${word} of at least ${low}` : `${word} above ${low}`;
    return word;
  }
  if (type === 'boolean') return 'true or false';
  if (type === 'string') return 'text';
  return type === 'object' ? 'object' : String(type ?? 'any');
}

/** Rows of the schema's fields. Fields without a description have an empty cell. */
export function schemaTable(schema: z.ZodType): string {
  const { properties = {}, required = [] } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema;
  const rows = Object.entries(properties).map(([name, field]) => {
    const byDefault = field.default === undefined ? '' : code(JSON.stringify(field.default));
    return [code(name), typeOf(field), required.includes(name) ? 'required' : byDefault, field.description ?? ''];
  });
  return table(['key', 'type', 'default', ''], rows);
}
