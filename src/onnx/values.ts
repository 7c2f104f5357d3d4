/**
 * Values: the names that a graph's values have in the model. A value may be there in the order of its axes, an image also in blocks of
 * channels, and within a float32 island under a further name.
 */

import type { Value } from '../graph/graph.ts';
import { nchwcDomain, type OnnxBuilder } from './onnx-builder.ts';
import type { StoredParameters } from './stored-parameters.ts';

export class Values {
  readonly #onnx: OnnxBuilder;
  readonly #parameters: StoredParameters;
  readonly #ordered = new Map<number, string>();
  readonly #blocked = new Map<number, string>();
  #inIsland = false;

  constructor(onnx: OnnxBuilder, parameters: StoredParameters) {
    this.#onnx = onnx;
    this.#parameters = parameters;
  }

  rename(value: Value, name: string): void {
    this.#ordered.set(value.id, name);
  }

  /** The model's name of a value in the order of its axes; a parameter becomes an initialiser when its name is first read. */
  name(value: Value): string {
    const known = this.#ordered.get(value.id);
    if (known !== undefined) return known;
    const name = this.#parameters.has(value)
      ? this.#parameters.initializer(value, value.shape as readonly number[])
      : `v${value.id}`;
    if (this.#blocked.has(value.id)) this.order(value, name);
    this.#ordered.set(value.id, name);
    return name;
  }

  /** True if a value has a name in the order of its axes. */
  isOrdered(value: Value): boolean {
    return this.#ordered.has(value.id) || this.#parameters.has(value);
  }

  /** True if an image exists in blocks of channels. */
  isBlocked(value: Value): boolean {
    return this.#blocked.has(value.id);
  }

  /** The name of an image in blocks of channels. */
  blocked(value: Value): string {
    const known = this.#blocked.get(value.id);
    if (known !== undefined) return known;
    const input = this.name(value);
    return this.#onnx.node('ReorderInput', [input], {}, { domain: nchwcDomain, output: this.blockedName(value) });
  }

  /** The name that an image in blocks of channels gets, which is about to be made. */
  blockedName(value: Value): string {
    const name = `b${value.id}`;
    this.#blocked.set(value.id, name);
    return name;
  }

  /** Makes `output` from an image in blocks. */
  order(value: Value, output: string): void {
    const channels = Number(value.shape[1]);
    this.#onnx.node('ReorderOutput', [this.blocked(value)], { channels }, { domain: nchwcDomain, output });
  }

  /** Emits `body` with images in blocks in the place of the images themselves. */
  inBlocks(images: readonly Value[], body: () => void): void {
    this.#renamed(
      images.map((value) => [value, this.blocked(value)]),
      body,
    );
  }

  /**
   * Emits `body` in float32 within a float16 model: `values` are cast up before, and the result that `body` makes under the given name is
   * cast down to `output`.
   */
  island(values: readonly Value[], output: string, body: (output: string) => void): void {
    const onnx = this.#onnx;
    const cast = values
      .map((value) => ({ value, name: this.name(value) }))
      .filter(({ value }) => value.dtype === 'float32')
      .map(({ value, name }): [Value, string] => [
        value,
        onnx.once(`float32 ${name}`, () => onnx.node('Cast', [name], { to: 1 })),
      ]);
    const inner = `${output}_float32`;
    this.#inIsland = true;
    this.#renamed(cast, () => onnx.inFloat32(() => body(inner)));
    this.#inIsland = false;
    onnx.node('Cast', [inner], { to: 10 }, { output });
  }

  /** Emits `body` with other names for some values. */
  #renamed(names: readonly (readonly [Value, string])[], body: () => void): void {
    const before = names.map(([{ id }]) => [id, this.#ordered.get(id)] as const);
    for (const [{ id }, name] of names) this.#ordered.set(id, name);
    body();
    for (const [id, name] of before) {
      if (name === undefined) this.#ordered.delete(id);
      else this.#ordered.set(id, name);
    }
  }

  /** True if a value is known only when the program runs. */
  isGiven(value: Value): boolean {
    return !this.#parameters.has(value);
  }

  /** True if a value is an initialiser that may be read with another shape (`parameter`). */
  isParameter(value: Value): boolean {
    return !this.#inIsland && this.#parameters.isStored(value);
  }

  /** A parameter's initialiser under another shape, or a part of it from element `start`. */
  parameter(value: Value, shape: readonly number[], start = 0): string {
    return this.#parameters.initializer(value, shape, start);
  }
}
