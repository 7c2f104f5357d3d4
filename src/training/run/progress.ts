/** Throughput and remaining time of a run, and their status line. Times are milliseconds of any clock. */

export interface ProgressState {
  readonly step: number;
  readonly total: number;
  /** Steps a second, recently; undefined before the second step. */
  readonly stepsPerSecond: number | undefined;
  /** Items a second, recently. */
  readonly itemsPerSecond: number | undefined;
  readonly secondsLeft: number | undefined;
  readonly secondsSpent: number;
}

export interface ProgressMeter {
  /** Call after each step with the step's number, counted from 1. */
  update(step: number, now: number): ProgressState;
}

/** `start`: steps done before (a resumed run). The rate is a mean over recent steps whose weights halve every `halfLife` seconds, so that pauses for samples are forgotten. */
export function progressMeter(options: {
  readonly total: number;
  readonly batchSize: number;
  readonly start?: number;
  readonly now: number;
  readonly halfLife?: number;
}): ProgressMeter {
  const { total, batchSize, halfLife = 30 } = options;
  let last = { step: options.start ?? 0, now: options.now };
  let steps = 0;
  let seconds = 0;
  return {
    update(step, now) {
      const passed = Math.max(0, (now - last.now) / 1000);
      const keep = 2 ** (-passed / halfLife);
      steps = steps * keep + (step - last.step);
      seconds = seconds * keep + passed;
      last = { step, now };
      const rate = seconds > 0 && steps > 0 ? steps / seconds : undefined;
      return {
        step,
        total,
        stepsPerSecond: rate,
        itemsPerSecond: rate === undefined ? undefined : rate * batchSize,
        secondsLeft: rate === undefined ? undefined : Math.max(0, total - step) / rate,
        secondsSpent: (now - options.now) / 1000,
      };
    },
  };
}

/** One line, such as `120/1000 ━━╌╌╌╌╌╌  12%  loss 0.0812  3.2 it/s  25.7 img/s  4m 34s left`, of at most `width` characters. */
export function progressLine(state: ProgressState, values: Readonly<Record<string, number>> = {}, width = 100): string {
  const share = state.total > 0 ? Math.min(1, state.step / state.total) : 0;
  const bar = '━'.repeat(Math.round(share * 16)).padEnd(16, '╌');
  const parts = [`${state.step}/${state.total} ${bar} ${String(Math.floor(share * 100)).padStart(3)}%`];
  for (const [name, value] of Object.entries(values)) parts.push(`${name} ${shortNumber(value)}`);
  if (state.stepsPerSecond !== undefined)
    parts.push(
      state.stepsPerSecond >= 1
        ? `${shortNumber(state.stepsPerSecond)} it/s`
        : `${shortNumber(1 / state.stepsPerSecond)} s/it`,
    );
  if (state.itemsPerSecond !== undefined) parts.push(`${shortNumber(state.itemsPerSecond)} img/s`);
  if (state.secondsLeft !== undefined) parts.push(`${duration(state.secondsLeft)} left`);
  // Drop what does not fit, values first.
  while (parts.length > 1 && parts.join('  ').length > width) parts.splice(parts.length > 4 ? parts.length - 4 : 1, 1);
  return parts.join('  ').slice(0, width);
}

/** `42s`, `4m 34s`, `3h 07m`, `2d 05h`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  const whole = Math.round(seconds);
  const pad = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${pad((whole % 3600) / 60)}m`;
  return `${Math.floor(whole / 86400)}d ${pad((whole % 86400) / 3600)}h`;
}

/** Three to four digits. */
function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1
        ? value.toFixed(2)
        : value.toFixed(4);
}
