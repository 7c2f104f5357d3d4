/**
 * The order in which nodes run, as ComfyUI's `ExecutionList`: of the nodes whose inputs are there an output node first, then one that feeds
 * one, then one that feeds a feeder, else the first found. Nodes are found from the outputs, inputs last to first.
 *
 * Each link is looked at a fixed number of times, and the nodes that are ready lie in a heap: n nodes take n log n.
 */

import { StableDiffusionError } from '../errors.ts';
import { type ApiGraph, isLink } from './graph.ts';

export interface OrderOptions {
  /** The values of the node are there. */
  readonly isDone: (id: string) => boolean;
  readonly isOutput: (id: string) => boolean;
}

interface Pending {
  readonly id: string;
  /** Place in the order in which the nodes were found. */
  readonly place: number;
  /** How many nodes it waits for. */
  waiting: number;
  /** The nodes that wait for it. */
  readonly blocks: Set<string>;
}

/** Steps from an output node that count: 0, 1, 2, and all others. */
const farthest = 3;

export class ExecutionOrder {
  readonly #graph: ApiGraph;
  readonly #options: OrderOptions;
  readonly #pending = new Map<string, Pending>();
  /** A binary heap of the nodes that can run. */
  readonly #ready: (readonly [rank: number, id: string])[] = [];
  readonly #feeders = new Map<string, boolean>();

  /** Of the nodes that the targets need, and no others. */
  constructor(graph: ApiGraph, targets: readonly string[], options: OrderOptions) {
    this.#graph = graph;
    this.#options = options;
    for (const target of targets) this.#add(target);
    for (const node of this.#pending.values()) if (node.waiting === 0) this.#push(node);
  }

  #add(target: string): void {
    const stack = [target];
    const links: [from: string, to: string][] = [];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (this.#pending.has(next)) continue;
      this.#pending.set(next, { id: next, place: this.#pending.size, waiting: 0, blocks: new Set() });
      for (const value of Object.values(this.#graph.get(next)?.inputs ?? {})) {
        if (!isLink(value) || this.#options.isDone(value[0])) continue;
        stack.push(value[0]);
        links.push([value[0], next]);
      }
    }
    for (const [from, to] of links) {
      const [before, after] = [this.#pending.get(from), this.#pending.get(to)];
      if (!before || !after || before.blocks.has(to)) continue;
      before.blocks.add(to);
      after.waiting += 1;
    }
  }

  /** Whether an output node waits for this one. */
  #feedsOutput({ id, blocks }: Pending): boolean {
    const known = this.#feeders.get(id);
    if (known !== undefined) return known;
    const found = [...blocks].some((blocked) => this.#options.isOutput(blocked));
    this.#feeders.set(id, found);
    return found;
  }

  /** How many links lead from a node to the nearest output node, at most `farthest`. */
  #distance(node: Pending): number {
    if (this.#options.isOutput(node.id)) return 0;
    if (this.#feedsOutput(node)) return 1;
    for (const id of node.blocks) {
      const blocked = this.#pending.get(id);
      if (blocked && this.#feedsOutput(blocked)) return 2;
    }
    return farthest;
  }

  #push(node: Pending): void {
    const heap = this.#ready;
    const entry = [this.#distance(node) * 2 ** 32 + node.place, node.id] as const;
    let at = heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as readonly [number, string];
      if (above[0] <= entry[0]) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#ready;
    const last = heap.pop();
    if (!last || heap.length === 0) return;
    const rank = (i: number): number => heap[i]?.[0] ?? Number.POSITIVE_INFINITY;
    let at = 0;
    for (;;) {
      const child = rank(2 * at + 1) <= rank(2 * at + 2) ? 2 * at + 1 : 2 * at + 2;
      if (rank(child) >= last[0]) break;
      heap[at] = heap[child] as readonly [number, string];
      at = child;
    }
    heap[at] = last;
  }

  /** The next node to run, or undefined at the end. Throws `invalid-argument` for nodes that wait for each other. */
  next(): string | undefined {
    if (this.#pending.size === 0) return undefined;
    for (let first = this.#ready[0]; first; first = this.#ready[0]) {
      if (this.#pending.has(first[1])) return first[1];
      this.#pop();
    }
    throw new StableDiffusionError(
      'invalid-argument',
      `The nodes ${[...this.#pending.keys()].slice(0, 10).join(', ')} of the workflow wait for each other in a circle.`,
    );
  }

  /** A node has run. */
  done(id: string): void {
    const node = this.#pending.get(id);
    this.#pending.delete(id);
    for (const blocked of node?.blocks ?? []) {
      const after = this.#pending.get(blocked);
      if (!after) continue;
      after.waiting -= 1;
      if (after.waiting === 0) this.#push(after);
    }
  }
}
