/** The MPIs of this machine, and scripts run on them. Every run has a time limit: a lost rank must end the job, not hang it. */

import { spawn, spawnSync } from 'node:child_process';
import { bundled } from './bundled.ts';

export interface Mpi {
  readonly name: string;
  /** Program and words before the number of ranks. */
  readonly launcher: readonly string[];
}

const openMpi = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'];
const candidates: readonly (Mpi & { readonly says: RegExp })[] = [
  { name: 'Open MPI', launcher: ['mpirun.openmpi', ...openMpi], says: /Open MPI|OpenRTE/ },
  { name: 'Open MPI', launcher: ['mpirun', ...openMpi], says: /Open MPI|OpenRTE/ },
  { name: 'MPICH', launcher: ['mpiexec.hydra'], says: /HYDRA/ },
  { name: 'MPICH', launcher: ['mpiexec'], says: /HYDRA/ },
];

/** One of each that is installed. */
export const mpis: readonly Mpi[] = ['Open MPI', 'MPICH'].flatMap((name) => {
  const found = candidates.find(
    ({ name: own, launcher: [program = ''], says }) =>
      own === name && says.test(spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? ''),
  );
  return found ? [found] : [];
});

/** For `test(…)`: why tests over several processes are left out here. */
export const skip = (name: string): false | string =>
  mpis.some((mpi) => mpi.name === name) ? false : `${name} is not installed`;

export interface RanksRun {
  /** Null where the time limit ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RanksOptions {
  /** Seconds. Default 240. */
  readonly limit?: number;
  readonly environment?: Readonly<Record<string, string>>;
  /** Called once with the process of the launcher. */
  readonly started?: (pid: number) => void;
  /** Called for each line of the output. */
  readonly line?: (line: string) => void;
}

/** A TypeScript file on so many ranks. */
export async function onRanks(
  name: string,
  ranks: number,
  [script = '', ...words]: readonly string[],
  { limit = 240, environment = {}, started, line }: RanksOptions = {},
): Promise<RanksRun> {
  const mpi = mpis.find((one) => one.name === name);
  const [program = '', ...before] = mpi?.launcher ?? [];
  const own = [process.execPath, await bundled(script), ...words];
  const child = spawn(program, [...before, '-n', String(ranks), ...own], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  if (child.pid !== undefined) started?.(child.pid);
  const texts = { out: '', err: '' };
  let rest = '';
  child.stdout.on('data', (chunk: Buffer) => {
    texts.out += chunk;
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const each of lines) line?.(each);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    texts.err += chunk;
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, limit * 1000);
  return new Promise((resolve) =>
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: late ? null : (code ?? 1), ...texts });
    }),
  );
}
