/** Time of this process's processor, which other programs on the machine do not lengthen. */

import assert from 'node:assert/strict';

/** Starts to count; gives the milliseconds of processor time since then, of all threads of this process. */
export function countProcessorTime(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}

/** Milliseconds of processor time that `work` takes. */
export function processorTime(work: () => void): number {
  const taken = countProcessorTime();
  work();
  return taken();
}

/** Below this many milliseconds growth cannot be told from noise. */
const noise = 200;

/** Asserts that four times the size takes less than ten times the time; quadratic time would be sixteen times. */
export function assertNotQuadratic(name: string, size: number, work: (size: number) => void): void {
  work(size);
  const short = processorTime(() => work(size));
  const long = processorTime(() => work(4 * size));
  assert.ok(
    long < Math.max(noise, 10 * short),
    `${name}: ${short.toFixed()} ms for ${size} and ${long.toFixed()} ms for ${4 * size}`,
  );
}
