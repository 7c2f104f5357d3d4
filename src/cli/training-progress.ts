/** Progress of a training run for people: one line, updated in place on a terminal, printed periodically otherwise. */

import type { TrainingEvent } from '../training/loop-options.ts';
import { progressLine } from '../training/run/progress.ts';
import type { CliContext } from './command.ts';

export interface TrainingProgress {
  event(event: TrainingEvent): void;
  /** A line that stays. */
  note(line: string): void;
  /** Bad data: the first few of a run, then silence. */
  warn(line: string): void;
  clear(): void;
}

const shownWarnings = 20;

/** Milliseconds between lines in a file, and between changes on a terminal. */
const filePause = 30_000;
const terminalPause = 100;

export function createTrainingProgress(
  { err, now }: Pick<CliContext, 'err' | 'now'>,
  { quiet }: { readonly quiet: boolean },
): TrainingProgress {
  const wipe = (): void => {
    if (err.isTerminal && !quiet) err.control('\r\x1b[K');
  };
  const write = (text: string): void => {
    wipe();
    err.write(text);
  };
  let shown = Number.NEGATIVE_INFINITY;
  let warnings = 0;
  const note = (line: string): void => {
    if (!quiet) write(`${line}\n`);
    shown = Number.NEGATIVE_INFINITY;
  };
  return {
    note,
    warn(line) {
      warnings++;
      if (warnings <= shownWarnings) write(`warning: ${line}\n`);
      if (warnings === shownWarnings) err.write('warning: there may be more, which are counted in the report.\n');
    },
    event(event) {
      if (event.kind === 'samples') note(`step ${event.step}: samples in ${event.path}`);
      if (event.kind === 'validation')
        note(
          `step ${event.step}: ${Object.entries(event.values)
            .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
            .join(', ')}`,
        );
      if ((event.kind === 'latents' || event.kind === 'class-pictures') && !quiet) {
        if (event.done !== event.total && now() - shown < (err.isTerminal ? terminalPause : filePause)) return;
        shown = now();
        const line = `${event.kind === 'latents' ? 'latents of pictures' : 'pictures of the class'} ${event.done}${event.total === undefined ? '' : `/${event.total}`}`;
        write(err.isTerminal ? line : `${line}\n`);
      }
      if (event.kind !== 'step' || quiet) return;
      const last = event.step === event.progress.total;
      if (!last && now() - shown < (err.isTerminal ? terminalPause : filePause)) return;
      shown = now();
      const line = progressLine(event.progress, { loss: event.loss }, err.isTerminal ? err.columns - 1 : 100);
      write(err.isTerminal ? line : `${line}\n`);
    },
    clear: wipe,
  };
}
