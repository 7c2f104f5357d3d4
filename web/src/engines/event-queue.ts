/** Events that are told by calling back, as an async iterator: they wait until they are asked for. */

export class EventQueue<T> {
  readonly #waiting: T[] = [];
  #ended: { readonly error?: unknown } | undefined;
  #wake = (): void => {};

  readonly push = (event: T): void => {
    this.#waiting.push(event);
    this.#wake();
  };

  /** Ends with the work that tells them, and throws what it throws. */
  async *until(work: Promise<void>): AsyncGenerator<T, void, void> {
    work.then(
      () => this.#end({}),
      (error: unknown) => this.#end({ error }),
    );
    for (;;) {
      const next = this.#waiting.shift();
      if (next !== undefined) yield next;
      else if (this.#ended) break;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if ('error' in this.#ended) throw this.#ended.error;
  }

  #end(how: { readonly error?: unknown }): void {
    this.#ended = how;
    this.#wake();
  }
}
