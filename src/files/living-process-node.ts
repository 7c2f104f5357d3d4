/** Whether a process that left a note of itself still lives. Its number is not enough: numbers are used again. */

import { readFileSync } from 'node:fs';

/** Linux's account of a process from its state on (proc_pid_stat(5), field 3); empty where there is none. */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** When a process began, in the kernel's ticks: a number used again names another process. Undefined where the system does not say. */
export const startOf = (pid: number): string | undefined => statOf(pid)[19];

/** Ended, but whoever started it has not asked how: it keeps its number and does nothing. */
const isEnded = (pid: number): boolean => ['Z', 'X'].includes(statOf(pid)[0] ?? '');

/** Whether the process of that number that began then lives. Both are of the caller's own pid namespace. */
export function isAlive(pid: number, start: string | undefined): boolean {
  if (pid === process.pid) return startOf(pid) === start;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return !isEnded(pid) && (start === undefined || startOf(pid) === start);
}
