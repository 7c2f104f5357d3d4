/** Means of metrics by name. */

interface Sum {
  readonly sum: number;
  readonly count: number;
}

type NamedSum = readonly [name: string, own: Sum];

/** Sums of metrics and how many values are in each. */
export class Means {
  readonly #sums = new Map<string, Sum>();

  /** A step may lack a metric that others have. */
  add(values: Readonly<Record<string, number>>): void {
    for (const [name, sum] of Object.entries(values)) this.#put([name, { sum, count: 1 }]);
  }

  #put([name, own]: NamedSum): void {
    const { sum, count } = this.#sums.get(name) ?? { sum: 0, count: 0 };
    this.#sums.set(name, { sum: sum + own.sum, count: count + own.count });
  }

  /** The sums, to be joined with those of other processes. */
  get sums(): readonly NamedSum[] {
    return [...this.#sums];
  }

  /** Sums of several processes, added in the order given. */
  static joined(sums: readonly NamedSum[]): Means {
    const means = new Means();
    for (const one of sums) means.#put(one);
    return means;
  }

  values(): Record<string, number> {
    return Object.fromEntries([...this.#sums].map(([name, { sum, count }]) => [name, sum / count]));
  }

  /** The means so far; then starts again from zero. */
  take(): Record<string, number> {
    const values = this.values();
    this.#sums.clear();
    return values;
  }
}
