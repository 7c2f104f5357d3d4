/** Whether a process that left a note of itself still lives. Its number is not enough: numbers are used again. */

import { readFileSync } from 'node:fs';

/** When a process began, in the kernel's ticks: a number used again names another process. Undefined where the system does not say. */
export function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/** Whether the process of that number that began then lives. Both are of the caller's own pid namespace. */
export function isAlive(pid: number, start: string | undefined): boolean {
  if (pid === process.pid) return startOf(pid) === start;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return start === undefined || startOf(pid) === start;
}
