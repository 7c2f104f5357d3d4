/**
 * The order in which nodes run, as ComfyUI's `ExecutionList`: of the nodes whose inputs are there an output node first, then one that feeds
 * one, then one that feeds a feeder, else the first found. Nodes are found from the outputs, inputs last to first.
 */

import { StableDiffusionError } from '../errors.ts';
import { type ApiGraph, isLink } from './graph.ts';

export class ExecutionOrder {
  readonly #graph: ApiGraph;
  readonly #isDone: (id: string) => boolean;
  readonly #isOutput: (id: string) => boolean;
  /** How many nodes a pending one waits for. */
  readonly #waiting = new Map<string, number>();
  /** The nodes that wait for one. */
  readonly #blocks = new Map<string, Set<string>>();

  constructor(
    graph: ApiGraph,
    { isDone, isOutput }: { readonly isDone: (id: string) => boolean; readonly isOutput: (id: string) => boolean },
  ) {
    this.#graph = graph;
    this.#isDone = isDone;
    this.#isOutput = isOutput;
  }

  /** Adds a node and what it needs. */
  add(id: string): void {
    const stack = [id];
    const links: [from: string, to: string][] = [];
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (this.#waiting.has(next)) continue;
      this.#waiting.set(next, 0);
      this.#blocks.set(next, new Set());
      for (const value of Object.values(this.#graph.get(next)?.inputs ?? {})) {
        if (!isLink(value) || this.#isDone(value[0])) continue;
        stack.push(value[0]);
        links.push([value[0], next]);
      }
    }
    for (const [from, to] of links) {
      const blocked = this.#blocks.get(from);
      if (!blocked || blocked.has(to)) continue;
      blocked.add(to);
      this.#waiting.set(to, (this.#waiting.get(to) ?? 0) + 1);
    }
  }

  /** The next node to run, or undefined at the end. Throws `invalid-argument` for nodes that wait for each other. */
  next(): string | undefined {
    if (this.#waiting.size === 0) return undefined;
    const ready = [...this.#waiting].flatMap(([id, count]) => (count === 0 ? [id] : []));
    if (ready.length === 0)
      throw new StableDiffusionError(
        'invalid-argument',
        `The nodes ${[...this.#waiting.keys()].slice(0, 10).join(', ')} of the workflow wait for each other in a circle.`,
      );
    const feeds = (id: string, steps: number): boolean =>
      steps === 0 ? this.#isOutput(id) : [...(this.#blocks.get(id) ?? [])].some((blocked) => feeds(blocked, steps - 1));
    return [0, 1, 2].flatMap((steps) => ready.find((id) => feeds(id, steps)) ?? [])[0] ?? ready[0];
  }

  /** A node has run. */
  done(id: string): void {
    for (const blocked of this.#blocks.get(id) ?? []) this.#waiting.set(blocked, (this.#waiting.get(blocked) ?? 1) - 1);
    this.#waiting.delete(id);
    this.#blocks.delete(id);
  }
}
