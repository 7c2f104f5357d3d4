/**
 * The one further form of a network that a model keeps: compiled for extensions, it stays in memory for the next run that needs the same.
 *
 * Networks are large, so another form, or a run that needs none, frees it. A run leases the form while it calls it: a form that a paused run
 * still leases is freed when that run ends.
 */

interface Kept {
  readonly key: string;
  readonly form: AsyncDisposable;
  users: number;
}

/** A form while a run calls it. */
export interface FormLease<F> extends AsyncDisposable {
  readonly form: F;
}

/** What a run that needs no further form holds: nothing. */
export const noLease: AsyncDisposable = { [Symbol.asyncDispose]: async () => undefined };

export class KeptForm<F extends AsyncDisposable = AsyncDisposable> implements AsyncDisposable {
  #current: Kept | undefined;

  /** The form under this key, opened if another one or none is kept. The key says all that the form is made of, and its type. */
  async lease<G extends F>(key: string, open: () => G | Promise<G>): Promise<FormLease<G>> {
    if (this.#current?.key !== key) {
      await this.free();
      this.#current = { key, form: await open(), users: 0 };
    }
    const kept = this.#current;
    kept.users++;
    let isHeld = true;
    return {
      form: kept.form as G,
      [Symbol.asyncDispose]: async () => {
        if (!isHeld) return;
        isHeld = false;
        kept.users--;
        if (kept.users === 0 && kept !== this.#current) await kept.form[Symbol.asyncDispose]();
      },
    };
  }

  #drop(): Kept | undefined {
    const kept = this.#current;
    this.#current = undefined;
    return kept;
  }

  /** Frees the form that is kept: now, or when the last run that leases it ends. */
  async free(): Promise<void> {
    const kept = this.#drop();
    if (kept?.users === 0) await kept.form[Symbol.asyncDispose]();
  }

  /** Frees the form, whoever leases it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#drop()?.form[Symbol.asyncDispose]();
  }
}
