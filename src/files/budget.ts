/**
 * Budget: what reading one file (or answering one request) may cost in all. The reader of each part charges the same budget, so that many
 * small parts cannot exceed what one large part may not. It is charged for what is about to be spent, before it is spent.
 */

import { StableDiffusionError } from '../errors.ts';

export interface BudgetLimits {
  /** Bytes held or unpacked. */
  readonly bytes?: number;
  /** Elements: keys, records, opcodes, rows. */
  readonly elements?: number;
  readonly milliseconds?: number;
}

export interface Budget {
  /** A label for messages: a file's name. */
  readonly label: string;
  /** Charges bytes. Throws `too-large`. */
  bytes(count: number, what: string): void;
  /** Charges elements, and checks the clock periodically. Throws `too-large`. */
  elements(count: number, what: string): void;
  /** Throws `too-large` where the time is over. For long loops that charge nothing else. */
  checkTime(what: string): void;
}

/** Elements between two checks of the clock. */
const elementsPerLook = 1024;

/** A budget for `label`. What a limit does not name is unlimited. `now` gives milliseconds. */
export function createBudget(label: string, limits: BudgetLimits, now: () => number = () => performance.now()): Budget {
  const { bytes: mostBytes = Infinity, elements: mostElements = Infinity, milliseconds = Infinity } = limits;
  const start = milliseconds === Infinity ? 0 : now();
  let bytes = 0;
  let elements = 0;
  let sinceLook = 0;
  const checkTime = (what: string): void => {
    if (milliseconds !== Infinity && now() - start > milliseconds)
      throw exceeded(label, `${what} took longer than ${milliseconds / 1000} s`);
  };
  return {
    label,
    checkTime,
    bytes(count, what) {
      bytes += count;
      if (!(bytes <= mostBytes)) throw exceeded(label, `${what} would need ${bytes} bytes; the limit is ${mostBytes}`);
    },
    elements(count, what) {
      elements += count;
      if (!(elements <= mostElements)) throw exceeded(label, `${what} has more than ${mostElements} elements`);
      sinceLook += count;
      if (sinceLook < elementsPerLook) return;
      sinceLook = 0;
      checkTime(what);
    },
  };
}

function exceeded(label: string, reason: string): StableDiffusionError {
  return new StableDiffusionError('too-large', `${label} is refused, because ${reason}.`, { details: { label } });
}
