/** Checks whether a process still lives. Its id is not enough, because ids are reused. */

import { readFileSync } from 'node:fs';

/** Linux's status of a process, from field 3 on (proc_pid_stat(5)); empty if there is none. */
function statOf(pid: number): readonly string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** Start time of a process in kernel ticks, which distinguishes processes with a reused id. Undefined if the system does not provide it. */
export const startOf = (pid: number): string | undefined => statOf(pid)[19];

/** A zombie: it ended, but its parent has not waited for it. */
const isEnded = (pid: number): boolean => ['Z', 'X'].includes(statOf(pid)[0] ?? '');

/** True if the process with this id and start time lives, in the caller's pid namespace. */
export function isAlive(pid: number, start: string | undefined): boolean {
  if (pid === process.pid) return startOf(pid) === start;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return !isEnded(pid) && (start === undefined || startOf(pid) === start);
}
