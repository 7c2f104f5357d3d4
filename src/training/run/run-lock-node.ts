/** One run at a time writes to a run's folder: a note of who holds it, made exclusively, which outlives a killed process and is then taken over. */

import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { StableDiffusionError } from '../../errors.ts';
import { fileError } from '../../files/byte-source-node.ts';
import { isAlive, startOf } from '../../files/living-process-node.ts';

const lockName = '.run.lock';

/** Takes the lock of a folder and gives its release. Throws `file-access` where another run has it. */
export async function lockRun(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, lockName);
  const note = `${process.pid} ${startOf(process.pid) ?? ''} ${hostname()}\n`;
  for (let attempt = 0; ; attempt++) {
    try {
      await writeFile(path, note, { flag: 'wx' });
      return () => rm(path, { force: true });
    } catch (cause) {
      if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw fileError(path, cause);
    }
    const held = await readFile(path, 'utf8').catch(() => '');
    const [pid = '', start = '', host = ''] = held.trim().split(' ');
    if (attempt > 2 || host !== hostname() || isAlive(Number(pid), start || undefined))
      throw new StableDiffusionError(
        'file-access',
        `${folder} is in use by the training run with process id ${pid} on ${host}. Stop that one, or give this one another folder. If it has ended, delete ${path}.`,
      );
    await rm(path, { force: true });
  }
}
