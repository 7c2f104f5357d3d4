/**
 * Random draws for a batch. Where several ranks share it, each draws what one process would draw for the whole batch and keeps its items'
 * part, so that noise and timesteps depend on the place of a sample in the whole batch and not on the number of ranks.
 */

import { TorchGenerator } from '../../random/torch-generator.ts';
import { elementCount, type Shape, type Tensor } from '../../tensor/tensor.ts';
import { mixSeed } from './sample-order.ts';
import type { ItemPlaces } from './sample.ts';

export class BatchGenerator {
  readonly #seed: number;
  readonly #generator: TorchGenerator;
  readonly #places: ItemPlaces | undefined;

  constructor(seed: number, places?: ItemPlaces) {
    this.#seed = seed;
    this.#generator = new TorchGenerator(seed);
    this.#places = places;
  }

  /** Draws a tensor of the whole batch and keeps the rows of the items. */
  #rows<T extends Tensor>([, ...rest]: Shape, draw: (shape: Shape) => T): T {
    const { rows, total } = this.#places as ItemPlaces;
    const whole = draw([total, ...rest]);
    const inner = elementCount(rest);
    const data = whole.data.slice(0, rows.length * inner);
    for (const [i, row] of rows.entries())
      data.set(whole.data.subarray(row * inner, (row + 1) * inner) as never, i * inner);
    return { ...whole, shape: [rows.length, ...rest], data } as T;
  }

  /** Standard normal; the first axis of `shape` is that of the items. */
  randn(shape: Shape): Tensor<'float32'> {
    return this.#places ? this.#rows(shape, (own) => this.#generator.randn(own)) : this.#generator.randn(shape);
  }

  /** Uniform in [0, 1); the first axis is that of the items. */
  rand(shape: Shape): Tensor<'float32'> {
    return this.#places ? this.#rows(shape, (own) => this.#generator.rand(own)) : this.#generator.rand(shape);
  }

  randint(low: number, high: number, shape: Shape): Tensor<'int64'> {
    const draw = (own: Shape): Tensor<'int64'> => this.#generator.randint(low, high, own);
    return this.#places ? this.#rows(shape, draw) : draw(shape);
  }

  /** A value for each item. The draws of other ranks' items are made with one of ours in their place, and dropped. */
  each<T, R>(items: readonly T[], draw: (item: T, generator: TorchGenerator) => R): R[] {
    const places = this.#places;
    if (!places) return items.map((item) => draw(item, this.#generator));
    const index = new Map(places.rows.map((row, i) => [row, i]));
    const out: R[] = [];
    for (let row = 0; row < places.total; row++) {
      const own = index.get(row);
      const value = draw(items[own ?? 0] as T, this.#generator);
      if (own !== undefined) out[own] = value;
    }
    return out;
  }

  /** A generator for the many draws of an item, in order. Shared batches have one of its own for each place. */
  forItem(i: number): TorchGenerator {
    return this.#places ? new TorchGenerator(mixSeed(this.#seed, this.#places.rows[i] ?? 0, 13)) : this.#generator;
  }
}
