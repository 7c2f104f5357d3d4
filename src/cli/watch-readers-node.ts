/**
 * Finds out when the last reader of a pipe has ended. A pipe says so only at the next write, which may be minutes away; Linux's /proc shows
 * who has it open. Elsewhere, and where the reader belongs to somebody else, nothing is noticed before the next write.
 */

import { readdir, readFile, readlink } from 'node:fs/promises';
import { isAlive, startOf } from '../files/living-process-node.ts';

interface Reader {
  readonly pid: number;
  readonly start: string | undefined;
}

/** `pipe:[NUMBER]`; undefined for terminals, files and sockets. */
async function pipeOf(descriptor: number): Promise<string | undefined> {
  const target = await readlink(`/proc/self/fd/${descriptor}`).catch(() => '');
  return target.startsWith('pipe:') ? target : undefined;
}

/** Whether a descriptor reads: its access mode is the two lowest bits of the flags, which are octal (proc_pid_fdinfo(5)). */
async function reads(pid: string, descriptor: string): Promise<boolean> {
  const info = await readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'utf8').catch(() => '');
  return (Number.parseInt(/^flags:\s*([0-7]{1,12})/m.exec(info)?.[1] ?? '1', 8) & 3) !== 1;
}

async function readsPipe(pid: string, pipe: string, descriptors: readonly string[]): Promise<boolean> {
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
    if (target === pipe && (await reads(pid, descriptor))) return true;
  }
  return false;
}

async function readersOf(pipe: string): Promise<readonly Reader[]> {
  const readers: Reader[] = [];
  for (const pid of (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    if (await readsPipe(pid, pipe, descriptors)) readers.push({ pid: Number(pid), start: startOf(Number(pid)) });
  }
  return readers;
}

/**
 * Calls back once when everybody who read the pipe of this descriptor has ended. A reader that cannot be seen, as one outside of a
 * container, is never missed. The result ends the watch.
 */
export function watchReaders(descriptor: number, onGone: () => void, milliseconds = 500): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const look = async (known: readonly Reader[]): Promise<void> => {
    if (known.some(({ pid, start }) => isAlive(pid, start))) return again(known);
    const pipe = await pipeOf(descriptor);
    if (pipe === undefined) return;
    const readers = await readersOf(pipe);
    if (isOver) return;
    if (readers.length > 0) again(readers);
    else if (known.length > 0) onGone();
  };
  const again = (known: readonly Reader[]): void => {
    timer = setTimeout(() => void look(known).catch(() => {}), milliseconds);
    timer.unref();
  };
  again([]);
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
