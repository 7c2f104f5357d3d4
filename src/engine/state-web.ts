/** WebState: tensors in the page's memory. The runtime copies what a program reads, and returns what it writes. */

import { StableDiffusionError } from '../errors.ts';
import { elementCount, type Shape, type Tensor } from '../tensor/tensor.ts';
import type { EngineState, StatePart, Tensors } from './engine.ts';
import { checkStateWrite, planPack, statePlaceOf } from './feeds.ts';

export class WebState implements EngineState {
  readonly entries: Map<string, Tensor> = new Map<string, Tensor>();
  readonly #packed = new Set<string>();

  async read(names: readonly string[] = [...this.entries.keys()]): Promise<Record<string, Tensor>> {
    return Object.fromEntries(
      names.map((name) => {
        const value = this.tensor(name);
        return [name, { ...value, data: value.data.slice() } as Tensor];
      }),
    );
  }

  async write(tensors: Tensors): Promise<void> {
    checkStateWrite(this.entries, tensors);
    for (const [name, value] of Object.entries(tensors)) {
      const known = this.entries.get(name);
      if (known) known.data.set(value.data as never);
      else this.entries.set(name, { ...value, data: value.data.slice() } as Tensor);
    }
  }

  async pack(pack: string, members: Readonly<Record<string, Shape>>): Promise<void> {
    const { starts, length } = planPack(this.entries, this.#packed, pack, members);
    const whole = new Float32Array(length);
    this.entries.set(pack, { dtype: 'float32', shape: [length], data: whole });
    for (const [name, shape] of Object.entries(members)) {
      const start = starts.get(name) ?? 0;
      const data = whole.subarray(start, start + elementCount(shape));
      const known = this.entries.get(name);
      if (known) data.set(known.data as Float32Array);
      this.entries.set(name, { dtype: 'float32', shape, data });
      this.#packed.add(name);
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.entries.delete(name);
      this.#packed.delete(name);
    }
  }

  /** The elements a program works on, where they lie. */
  view(bound: string | StatePart, rank: number): Tensor {
    const { name, flat } = statePlaceOf(this, bound, rank);
    const value = this.tensor(name);
    return flat
      ? ({ ...value, shape: [flat.end - flat.start], data: value.data.subarray(flat.start, flat.end) } as Tensor)
      : value;
  }

  tensor(name: string): Tensor {
    const found = this.entries.get(name);
    if (!found) throw new StableDiffusionError('invalid-argument', `The state has no tensor ${name}.`);
    return found;
  }

  async dispose(): Promise<void> {
    this.entries.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
