/** The jobs that wait for the one under way, in the page's state. */

import { newId } from '../history/new-id.ts';
import type { StudioStore } from '../studio-store.ts';
import type { QueuedJob } from '../studio-state.ts';
import type { PictureJob } from './picture-engine.ts';

/** More than this is a mistake of the hand. */
const most = 50;

export class JobQueue {
  readonly #store: StudioStore;

  constructor(store: StudioStore) {
    this.#store = store;
  }

  /** Throws an Error for people where too many wait. */
  add(job: PictureJob, model: string): void {
    const { queue } = this.#store.state;
    if (queue.length >= most) throw new Error(`${most} jobs wait already. Let some be made, or remove them.`);
    this.#store.set({ queue: [...queue, { id: newId(), job, model }] });
  }

  /** Takes the next one out. */
  take(): QueuedJob | undefined {
    const [next, ...queue] = this.#store.state.queue;
    if (next) this.#store.set({ queue });
    return next;
  }

  remove(id: string): void {
    this.#store.set({ queue: this.#store.state.queue.filter((waiting) => waiting.id !== id) });
  }

  clear(): void {
    this.#store.set({ queue: [] });
  }
}
