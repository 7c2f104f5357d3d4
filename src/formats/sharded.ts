/**
 * Sharded checkpoints: an `*.index.json` whose `weight_map` gives, for every tensor, the name of the file that holds it
 * (huggingface_hub, serialization). Shards lie in the folder of the index; a name that leads elsewhere is refused.
 */

import { StableDiffusionError } from '../errors.ts';
import { JsonSyntaxError, jsonCursor } from './json-cursor.ts';
import { findEntry, type MetadataValue, type WeightEntry, type WeightSource } from '../weights/weight-source.ts';

/** File names by tensor names. Throws `file-corrupt`, or `file-unsafe` for a name outside the folder. `label` names the index. */
export function parseShardIndex(label: string, bytes: Uint8Array): ReadonlyMap<string, string> {
  let map: Map<string, string> | undefined;
  try {
    const cursor = jsonCursor(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
    cursor.object((key) => {
      if (key !== 'weight_map') cursor.skip();
      else {
        const entries = new Map<string, string>();
        cursor.object((name) => entries.set(name, cursor.string()));
        map = entries;
      }
    });
    cursor.end();
  } catch (cause) {
    if (cause instanceof JsonSyntaxError || cause instanceof TypeError) throw corrupt(label, cause.message, cause);
    throw cause;
  }
  if (!map || map.size === 0) throw corrupt(label, map ? 'its weight_map is empty' : 'it has no weight_map');
  for (const [name, file] of map) {
    if (!/^[^/\\:\0]+$/.test(file) || file === '.' || file === '..') {
      throw new StableDiffusionError(
        'file-unsafe',
        `${label}: tensor ${JSON.stringify(name)} should be in ${JSON.stringify(file)}, and shards must be plain file names in the folder of the index.`,
      );
    }
  }
  return map;
}

/**
 * Opens the shards of an index with `open`, which takes a file name. Every tensor must be in the shard that the index names, and no
 * shard may hold another one: throws `file-corrupt` else.
 */
export async function openSharded(
  label: string,
  index: ReadonlyMap<string, string>,
  open: (file: string) => Promise<WeightSource>,
): Promise<WeightSource> {
  const shards = new Map<string, WeightSource>();
  const close = async () => {
    for (const shard of shards.values()) await shard.close();
  };
  try {
    for (const file of new Set(index.values())) shards.set(file, await open(file));
    const entries = new Map<string, WeightEntry>();
    const owners = new Map<string, WeightSource>();
    for (const [name, file] of index) {
      const shard = findEntry(label, shards, file);
      const entry = shard.entries.get(name);
      if (!entry) throw corrupt(label, `it lists tensor ${JSON.stringify(name)} in ${file}, which does not contain it`);
      entries.set(name, entry);
      owners.set(name, shard);
    }
    for (const [file, shard] of shards) {
      for (const name of shard.entries.keys()) {
        if (owners.get(name) !== shard)
          throw corrupt(label, `${file} holds a tensor ${JSON.stringify(name)}, which the index does not have there`);
      }
    }
    const metadata = new Map<string, MetadataValue>(
      [...shards.values()].flatMap((shard) => [...(shard.metadata ?? [])]),
    );
    return {
      label,
      entries,
      metadata,
      read: (name, signal) => findEntry(label, owners, name).read(name, signal),
      locate: (name) => findEntry(label, owners, name).locate?.(name),
      close,
    };
  } catch (cause) {
    await close();
    throw cause;
  }
}

function corrupt(label: string, reason: string, cause?: unknown): StableDiffusionError {
  return new StableDiffusionError('file-corrupt', `${label} is not a valid index of shards: ${reason}.`, { cause });
}
