/**
 * Keeps a worker thread from being ended in the middle of native code, which would abort the whole process. Both sides hold the same shared
 * memory: the worker sets a flag while it works, the other side sets one to prevent further work.
 */

const [working, ending] = [0, 1];

export type ThreadGuard = Int32Array<SharedArrayBuffer>;

export const createGuard = (): ThreadGuard => new Int32Array(new SharedArrayBuffer(8));

/** In the worker: whether work may begin; then `leave` must follow. */
export function enter(guard: ThreadGuard): boolean {
  Atomics.store(guard, working, 1);
  if (!isEnding(guard)) return true;
  leave(guard);
  return false;
}

/** In the worker: the work is done. */
export function leave(guard: ThreadGuard): void {
  Atomics.store(guard, working, 0);
  Atomics.notify(guard, working);
}

/** True if the thread should end; long work stops at its next step. */
export const isEnding = (guard: ThreadGuard): boolean => Atomics.load(guard, ending) === 1;

export const isWorking = (guard: ThreadGuard): boolean => Atomics.load(guard, working) === 1;

/** Prevents further work. */
export function close(guard: ThreadGuard): void {
  Atomics.store(guard, ending, 1);
}

/** Blocks this thread until the worker has left native code, at most so long. */
export function waitUntilLeft(guard: ThreadGuard, milliseconds: number): void {
  Atomics.wait(guard, working, 1, milliseconds);
}
