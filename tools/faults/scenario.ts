/** A scenario of faults: work that says what it was promised, and a check that each promise was kept. */

import { StableDiffusionError } from '../../src/errors.ts';

/** Tells the other process that something was promised: it is out when this returns. */
export type Say = (event: string, id: string) => void;

/** What was said, by event. */
export type Said = ReadonlyMap<string, readonly string[]>;

export interface Scenario {
  /** Runs in a process that ends, or whose disk is full, at one of its writes. */
  readonly work: (folder: string, say: Say) => Promise<void>;
  /** Throws where a promise was broken. Leaves the folder usable. */
  readonly check: (folder: string, said: Said) => Promise<void>;
}

/** The value, or undefined where it was refused as on a full disk: with an error of ours that says so. */
export async function orRefused<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StableDiffusionError && error.code === 'file-access') return undefined;
    throw error;
  }
}
