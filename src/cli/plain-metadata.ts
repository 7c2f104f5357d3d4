/** The metadata of a weights file as JSON. */

import type { MetadataValue } from '../weights/weight-source.ts';

/** Metadata as plain JSON, with long texts shortened. */
export function plainMetadata(metadata: ReadonlyMap<string, MetadataValue> | undefined): Record<string, unknown> {
  return Object.fromEntries(Array.from(metadata ?? [], ([name, value]) => [name, plain(value)]));
}

function plain(value: MetadataValue): unknown {
  if (value instanceof Map)
    return Object.fromEntries(
      Array.from(value as ReadonlyMap<string, MetadataValue>, ([name, item]) => [name, plain(item)]),
    );
  if (Array.isArray(value)) return (value as readonly MetadataValue[]).slice(0, 100).map(plain);
  return typeof value === 'string' && value.length > 2000 ? `${value.slice(0, 2000)}…` : value;
}
