/** The processes of an MPI job, found in /proc (Linux). */

import { readdirSync, readFileSync } from 'node:fs';

/** Processes of the ranks below a launcher. */
export function rankProcesses(launcher: number): number[] {
  const parents = new Map<number, number>();
  const commands = new Map<number, string>();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      commands.set(Number(name), readFileSync(`/proc/${name}/cmdline`, 'utf8'));
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const below = (pid: number | undefined): boolean =>
    pid !== undefined && (pid === launcher || below(parents.get(pid)));
  return [...commands].flatMap(([pid, command]) =>
    command.startsWith(process.execPath) && command.includes('main.js') && below(parents.get(pid)) ? [pid] : [],
  );
}
