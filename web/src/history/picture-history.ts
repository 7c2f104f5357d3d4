/** The pictures that were made: shown in the gallery, kept in this browser. */

import type { StudioStore } from '../studio-store.ts';
import { openPictureDatabase, type Picture, type PictureDatabase } from './picture-database.ts';

const notKept = ({ message }: Error): string =>
  `The pictures could not be kept in this browser (${message.replace(/\.$/, '')}). They stay here until the page is closed: save them, or delete others.`;

export class PictureHistory {
  readonly #store: StudioStore;
  #database: PictureDatabase | undefined;

  constructor(store: StudioStore) {
    this.#store = store;
  }

  /** Reads what is kept in this browser. */
  async load(): Promise<void> {
    this.#database = await openPictureDatabase();
    const kept = await this.#database.all();
    this.#store.set({ history: [...this.#store.state.history, ...kept], historyLoaded: true });
  }

  /** Adds pictures to the history. */
  async keep(pictures: readonly Picture[]): Promise<void> {
    this.#store.set({ history: [...[...pictures].reverse(), ...this.#store.state.history] });
    try {
      await this.#database?.put(pictures);
    } catch (error) {
      this.#store.fail(notKept(error as Error));
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    const removed = this.#store.state.history.filter(({ id }) => ids.includes(id));
    const without = (list: readonly Picture[]): Picture[] => list.filter(({ id }) => !ids.includes(id));
    const { made, compared } = this.#store.state;
    this.#store.set({
      history: without(this.#store.state.history),
      made: without(made),
      compared: [
        compared[0] && ids.includes(compared[0]) ? undefined : compared[0],
        compared[1] && ids.includes(compared[1]) ? undefined : compared[1],
      ],
      notice: {
        kind: 'info',
        text: removed.length === 1 ? 'Picture deleted.' : `${removed.length} pictures deleted.`,
        action: { label: 'Undo', run: () => void this.#restore(removed) },
      },
    });
    await this.#database
      ?.remove(ids)
      .catch((error: Error) => this.#store.fail(`They could not be deleted from this browser: ${error.message}`));
  }

  async #restore(pictures: readonly Picture[]): Promise<void> {
    this.#store.set({
      history: [...this.#store.state.history, ...pictures].sort((a, b) => b.createdAt - a.createdAt),
      notice: undefined,
    });
    await this.#database?.put(pictures).catch((error: Error) => this.#store.fail(notKept(error)));
  }

  /** Puts a picture on the free side of the comparison, else on the second. */
  compare(id: string): void {
    const [a, b] = this.#store.state.compared;
    const compared: readonly [string | undefined, string | undefined] = a === undefined || a === id ? [id, b] : [a, id];
    this.#store.set({
      compared,
      ...(compared[0] && compared[1]
        ? { view: 'compare' as const }
        : { notice: { kind: 'info' as const, text: 'Now choose the picture to compare it with.' } }),
    });
  }
}
