/** NodeState: tensors that stay in the worker thread between runs. The main thread has their names, types and shapes. */

import type { DType } from '../tensor/dtype.ts';
import type { Shape, Tensor } from '../tensor/tensor.ts';
import type { EngineState, Tensors } from './engine.ts';
import { checkStateWrite, planPack } from './feeds.ts';
import type { RuntimeThread } from './runtime-thread-node.ts';

export class NodeState implements EngineState {
  readonly entries = new Map<string, { readonly dtype: DType; readonly shape: Shape }>();
  readonly id: number;
  readonly #runtime: RuntimeThread;
  readonly #packed = new Set<string>();

  constructor(runtime: RuntimeThread, id: number) {
    this.#runtime = runtime;
    this.id = id;
  }

  async read(names: readonly string[] = [...this.entries.keys()]): Promise<Record<string, Tensor>> {
    const [tensors] = await this.#runtime.call({ kind: 'read-state', state: this.id, names });
    return tensors ?? {};
  }

  async write(tensors: Tensors): Promise<void> {
    checkStateWrite(this.entries, tensors);
    const copies = Object.fromEntries(
      Object.entries(tensors).map(([name, value]) => [name, { ...value, data: value.data.slice() } as Tensor]),
    );
    await this.#runtime.call(
      { kind: 'write-state', state: this.id, tensors: copies },
      Object.values(copies).map(({ data }) => data.buffer as ArrayBuffer),
    );
    for (const [name, { dtype, shape }] of Object.entries(tensors)) this.entries.set(name, { dtype, shape });
  }

  async pack(pack: string, members: Readonly<Record<string, Shape>>): Promise<void> {
    const { starts, length } = planPack(this.entries, this.#packed, pack, members);
    const list = Object.entries(members).map(([name, shape]) => ({ name, shape, start: starts.get(name) ?? 0 }));
    await this.#runtime.call({ kind: 'pack-state', state: this.id, pack, length, members: list });
    this.entries.set(pack, { dtype: 'float32', shape: [length] });
    for (const { name, shape } of list) {
      this.entries.set(name, { dtype: 'float32', shape });
      this.#packed.add(name);
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.entries.delete(name);
      this.#packed.delete(name);
    }
    await this.#runtime.call({ kind: 'remove-state', state: this.id, names });
  }

  async dispose(): Promise<void> {
    this.entries.clear();
    await this.#runtime.call({ kind: 'dispose-state', state: this.id });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
