/** Callback events as an async iterator, queued until they are consumed. */

export class EventQueue<T> {
  readonly #waiting: T[] = [];
  #ended: { readonly error?: unknown } | undefined;
  #wake = (): void => {};

  readonly push = (event: T): void => {
    this.#waiting.push(event);
    this.#wake();
  };

  /** Ends with the producer, and rethrows its error. */
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
