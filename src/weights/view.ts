/** Views of a WeightSource: the same tensors under other names, a subset of them, or several sources as one. All views are lazy. */

import { StableDiffusionError } from '../errors.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type ByteLocation,
  findEntry,
  type StoredBlocks,
  type WeightEntry,
  type WeightSource,
} from './weight-source.ts';

/** One tensor of a view: what it is and how to get it. */
export interface ViewEntry {
  readonly entry: WeightEntry;
  read(signal?: AbortSignal): Promise<Tensor>;
  locate?(): ByteLocation | undefined;
  blocks?(): StoredBlocks | undefined;
}

/** A WeightSource made of `tensors`; `close` closes `owners`. Throws `weights-mismatch` if two tensors have one name. */
export function weightView(label: string, tensors: Iterable<ViewEntry>, owners: readonly WeightSource[]): WeightSource {
  const byName = new Map<string, ViewEntry>();
  for (const item of tensors) {
    const { name } = item.entry;
    if (byName.has(name)) {
      throw new StableDiffusionError(
        'weights-mismatch',
        `${label}: two tensors would be named ${name}. The file mixes two layouts; keep one of them.`,
        {
          details: { name },
        },
      );
    }
    byName.set(name, item);
  }
  const [owner] = owners;
  const metadata = owners.length === 1 ? owner?.metadata : undefined;
  const entries = new Map(Array.from(byName, ([name, item]) => [name, item.entry]));
  return {
    label,
    entries,
    ...(metadata ? { metadata } : {}),
    async read(name, signal) {
      return findEntry(label, byName, name).read(signal);
    },
    locate: (name) => byName.get(name)?.locate?.(),
    blocks: (name) => byName.get(name)?.blocks?.(),
    async close() {
      await Promise.all(owners.map((owner) => owner.close()));
    },
  };
}

/** The tensor `from` of `source`, under the name `to`. */
export function aliased(source: WeightSource, from: string, to = from): ViewEntry {
  const entry = findEntry(source.label, source.entries, from);
  return {
    entry: from === to ? entry : { ...entry, name: to },
    read: (signal) => source.read(from, signal),
    locate: () => source.locate?.(from),
    blocks: () => source.blocks?.(from),
  };
}

/** The tensors whose name `rename` keeps, under the name it returns; undefined drops one. */
export function withNames(source: WeightSource, rename: (name: string) => string | undefined): WeightSource {
  const tensors: ViewEntry[] = [];
  for (const name of source.entries.keys()) {
    const to = rename(name);
    if (to !== undefined) tensors.push(aliased(source, name, to));
  }
  return weightView(source.label, tensors, [source]);
}

/** The tensors with the prefix `prefix`, which is removed. */
export function withoutPrefix(source: WeightSource, prefix: string): WeightSource {
  return prefix === ''
    ? source
    : withNames(source, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined));
}

/** Every tensor with `prefix` in front of its name. */
export function withPrefix(source: WeightSource, prefix: string): WeightSource {
  return prefix === '' ? source : withNames(source, (name) => prefix + name);
}

/** Several sources as one. Throws `weights-mismatch` if two hold the same name. */
export function joined(
  sources: readonly WeightSource[],
  label = sources.map((source) => source.label).join(' + '),
): WeightSource {
  const tensors = sources.flatMap((source) => Array.from(source.entries.keys(), (name) => aliased(source, name)));
  return weightView(label, tensors, sources);
}
