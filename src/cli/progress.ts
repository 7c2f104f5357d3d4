/** The progress bar: one line, overwritten in place, with the time per step and the time left. Silent unless on a terminal. */

import type { TextOutput } from './command.ts';

export interface Progress {
  /** Starts a stage of unknown length. */
  stage(label: string): void;
  /** `done` of `total` steps of the stage `label`. */
  step(label: string, done: number, total: number): void;
  /** Clears the line, before other text is written. */
  clear(): void;
}

const silent: Progress = { stage: () => {}, step: () => {}, clear: () => {} };

/** Creates a bar on `output` if that is a terminal and `quiet` is false; `now` gives milliseconds. */
export function createProgress(output: TextOutput, now: () => number, quiet: boolean): Progress {
  if (quiet || !output.isTerminal) return silent;
  let first: { label: string; at: number; done: number } | undefined;
  const wipe = (): void => output.control('\r\x1b[K');
  const show = (line: string): void => {
    wipe();
    output.write(line.slice(0, output.columns - 1));
  };
  return {
    stage(label) {
      first = undefined;
      show(`${label} …`);
    },
    step(label, done, total) {
      // The first step includes the preparation of the network, so timing starts after it.
      if (!first || first.label !== label || done < first.done) first = { label, at: now(), done };
      show(
        stepLine(label, done, total, done > first.done ? (now() - first.at) / 1000 / (done - first.done) : undefined),
      );
    },
    clear: wipe,
  };
}

/** `sampling  12/20 ██████████████▍········· 0.08 s a step, 1 s left`; `pace` is in seconds per step. */
export function stepLine(label: string, done: number, total: number, pace: number | undefined): string {
  const width = 24;
  const filled = Math.round((done / total) * width);
  const bar = `${'█'.repeat(filled)}${'·'.repeat(width - filled)}`;
  const times = pace === undefined ? '' : ` ${seconds(pace)} a step, ${seconds(pace * (total - done))} left`;
  return `${label} ${String(done).padStart(String(total).length)}/${total} ${bar}${times}`;
}

/** `0.08 s`, `12 s`, `3 min 20 s`, `1 h 5 min`. */
export function seconds(value: number): string {
  if (value < 9.95) return `${value.toFixed(value < 0.995 ? 2 : 1)} s`;
  const whole = Math.round(value);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
