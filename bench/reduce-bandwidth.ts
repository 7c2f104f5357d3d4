/**
 * Reduction of 100 million floats through the Communicator, in turn with a C program that calls the same MPI (bench/peers/reduce_bandwidth.c,
 * compiled by mpicc). Prints a line of JSON with seconds and bandwidth of both (bytes of the array by the time) and the ratio
 * of the bandwidths.
 *
 *     node --import ./tools/typescript.mjs bench/reduce-bandwidth.ts [ranks] [floats] [rounds]
 *
 * MPICC is another compiler with its options, for the MPI of `mpirun`. On a quiet machine with two cores it takes about a minute and 2 GB of memory.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRanks } from '../src/distributed/open-node.ts';

const root = join(import.meta.dirname, '..');

/** On each rank: the seconds of each round, printed by rank 0. */
async function reduce(count: number, rounds: number): Promise<void> {
  const { communicator } = await openRanks('auto', process.env);
  const own = new Float32Array(count).fill(communicator.rank + 1);
  const into = new Float32Array(count);
  const want = (communicator.size * (communicator.size + 1)) / 2;
  for (let round = 0; round < rounds; round++) {
    await communicator.barrier();
    const start = performance.now();
    const sum = await communicator.allReduce(own, 'sum', into);
    const seconds = (performance.now() - start) / 1000;
    if (sum[count - 1] !== want) throw new Error(`the sum is ${sum[count - 1]}, not ${want}`);
    if (communicator.rank === 0) process.stdout.write(`${seconds}\n`);
  }
  await communicator[Symbol.asyncDispose]();
}

/** Compilers and launchers by MPI: the first whose compiler works is used, or MPICC with the first launcher. */
const openMpi = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'];
const mpis = [
  { compiler: process.env['MPICC'] ?? 'mpicc', launcher: ['mpirun', ...openMpi] },
  { compiler: 'mpicc.openmpi', launcher: ['mpirun.openmpi', ...openMpi] },
  { compiler: 'mpicc.mpich', launcher: ['mpiexec.hydra'] },
] as const;

/** Compiles the C program and gives the launcher of its MPI. */
function compiled(program: string): readonly string[] {
  const source = join(root, 'bench/peers/reduce_bandwidth.c');
  for (const { compiler, launcher } of mpis) {
    const [command = '', ...options] = compiler.split(' ');
    if (spawnSync(command, ['-O2', '-o', program, source, ...options]).status === 0) return launcher;
  }
  throw new Error(
    `none of ${mpis.map(({ compiler }) => compiler).join(', ')} compiles ${source}: install the headers of an MPI`,
  );
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function compare(ranks: number, count: number, rounds: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'reduce-'));
  try {
    const program = join(folder, 'reduce');
    const [launcher = '', ...before] = compiled(program);
    const on = (words: readonly string[]): number[] =>
      execFileSync(launcher, [...before, '-n', String(ranks), ...words], { cwd: root, encoding: 'utf8' })
        .trim()
        .split('\n')
        .map(Number);
    const node = [process.execPath, '--import', './tools/typescript.mjs', 'bench/reduce-bandwidth.ts', 'rank'];
    const seconds = { 'stable-diffusion-ts': [] as number[], C: [] as number[] };
    // In turn, so that both meet the same load of the machine; each process's first round is a warm-up.
    for (let turn = 0; turn < rounds; turn++) {
      seconds['stable-diffusion-ts'].push(...on([...node, String(count), '3']).slice(1));
      seconds.C.push(...on([program, String(count), '3']).slice(1));
    }
    const of = (values: readonly number[]) => ({
      median_s: median(values),
      best_s: Math.min(...values),
      gigabytes_per_s: (4 * count) / median(values) / 1e9,
    });
    const [own, peer] = [of(seconds['stable-diffusion-ts']), of(seconds.C)];
    const line = {
      ranks,
      launcher,
      floats: count,
      'stable-diffusion-ts': own,
      C: peer,
      ratio: peer.median_s / own.median_s,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [first = '2', second = '100000000', third = '5'] = process.argv.slice(2);
if (first === 'rank') await reduce(Number(second), Number(third));
else compare(Number(first), Number(second), Number(third));
