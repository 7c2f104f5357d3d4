/** Steps of some tens of milliseconds that the main thread must do itself: one in each turn of the event loop, so that others never wait for two. */

import { setImmediate as othersTurn } from 'node:timers/promises';

let last: Promise<unknown> = Promise.resolve();

/** Does the step once those before it are done and others had their turn. Throws what it throws. */
export function inTurn<T>(step: () => T): Promise<T> {
  const mine = last.then(() => othersTurn()).then(step);
  last = mine.catch(() => {});
  return mine;
}
