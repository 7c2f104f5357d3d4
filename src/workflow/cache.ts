/**
 * WorkflowCache: the values of nodes, kept from run to run. A node runs again where its class, an input, what it says of outside changes
 * or any of this of a node before it differ; ids of nodes do not count. Of earlier runs only what the last one contained is kept, within a
 * limit of memory: the values not used for longest go first, and are made again where they are needed.
 */

import { printExactJson } from '../formats/exact-json.ts';
import type { NodeOutput } from './events.ts';
import { bytesOfValue } from './values.ts';

/** The values of one node: a list for each output, one entry for each run of the node. */
export interface NodeValues {
  readonly outputs: readonly (readonly unknown[])[];
  readonly ui: NodeOutput | undefined;
}

interface Entry extends NodeValues {
  readonly bytes: number;
}

export class WorkflowCache {
  readonly #limit: number;
  readonly #entries = new Map<string, Entry>();
  /** Short names of signatures. */
  readonly #names = new Map<string, string>();
  #counted = 0;
  /** What nodes keep for themselves, by id and class. */
  readonly #memories = new Map<string, Map<string, unknown>>();
  /** Those of the present run. */
  readonly #lookedAt = new Set<string>();
  /** Bytes of all entries. */
  #sum = 0;

  /** `limit`: bytes. Default 2 GiB. */
  constructor(limit = 2 * 2 ** 30) {
    this.#limit = limit;
  }

  /** The key of a node of this signature; `parts` hold the keys of the nodes before it. */
  key(parts: unknown): string {
    const signature = printExactJson(parts);
    const known = this.#names.get(signature);
    if (known) return known;
    this.#counted += 1;
    const name = `#${this.#counted}`;
    this.#names.set(signature, name);
    return name;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  get(key: string): NodeValues | undefined {
    const found = this.#entries.get(key);
    if (!found) return undefined;
    // Moves to the end: the map is in the order of use.
    this.#entries.delete(key);
    this.#entries.set(key, found);
    return found;
  }

  /** Keeps values; frees others beyond the limit, but none that `isNeeded`. */
  set(key: string, values: NodeValues, isNeeded: (key: string) => boolean): void {
    const bytes = bytesOfValue(values.outputs);
    this.#sum += bytes - this.bytes(key);
    this.#entries.set(key, { ...values, bytes });
    this.#shrink((other) => other === key || isNeeded(other));
  }

  /** Memory of the values under a key; 0 if there are none. */
  bytes(key: string): number {
    return this.#entries.get(key)?.bytes ?? 0;
  }

  #remove(key: string): void {
    this.#sum -= this.bytes(key);
    this.#entries.delete(key);
  }

  #shrink(isNeeded: (key: string) => boolean): void {
    for (const key of this.#entries.keys()) {
      if (this.#sum <= this.#limit) return;
      if (!isNeeded(key)) this.#remove(key);
    }
  }

  /** Forgets all but these keys. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#entries.keys()) if (!keys.has(key)) this.#remove(key);
    for (const [signature, name] of this.#names) if (!keys.has(name)) this.#names.delete(signature);
    for (const name of this.#memories.keys()) if (!this.#lookedAt.has(name)) this.#memories.delete(name);
    this.#lookedAt.clear();
    this.#shrink(() => false);
  }

  /** What a node keeps for itself. */
  memory(id: string, classType: string): Map<string, unknown> {
    const name = `${classType} ${id}`;
    const known = this.#memories.get(name) ?? new Map<string, unknown>();
    this.#memories.set(name, known);
    this.#lookedAt.add(name);
    return known;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
    this.#sum = 0;
    this.#lookedAt.clear();
    this.#names.clear();
    this.#memories.clear();
  }
}
