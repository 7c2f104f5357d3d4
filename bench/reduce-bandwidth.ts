/**
 * Reduction of 100 million floats through the Communicator, in turn with a C program that calls the same MPI (bench/peers/reduce_bandwidth.c,
 * compiled by mpicc). Prints seconds and bandwidth of both; the bandwidth is the bytes of the array by the time.
 *
 *     node --import ./tools/typescript.mjs bench/reduce-bandwidth.ts [ranks] [floats] [rounds]
 *
 * MPICC is another compiler with its options. On a quiet machine with two cores it takes about a minute and 2 GB of memory.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRanks } from '../src/distributed/open-node.ts';

const root = join(import.meta.dirname, '..');

/** On each rank: the seconds of each round, printed by rank 0. */
async function reduce(count: number, rounds: number): Promise<void> {
  const { communicator } = await openRanks('auto', process.env);
  const own = new Float32Array(count).fill(communicator.rank + 1);
  const want = (communicator.size * (communicator.size + 1)) / 2;
  for (let round = 0; round < rounds; round++) {
    await communicator.barrier();
    const start = performance.now();
    const sum = await communicator.allReduce(own);
    const seconds = (performance.now() - start) / 1000;
    if (sum[count - 1] !== want) throw new Error(`the sum is ${sum[count - 1]}, not ${want}`);
    if (communicator.rank === 0) process.stdout.write(`${seconds}\n`);
  }
  await communicator[Symbol.asyncDispose]();
}

const mpirun = ['--allow-run-as-root', '--oversubscribe', '--bind-to', 'none'];
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function compare(ranks: number, count: number, rounds: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'reduce-'));
  try {
    const program = join(folder, 'reduce');
    const [compiler = '', ...options] = (process.env['MPICC'] ?? 'mpicc').split(' ');
    execFileSync(compiler, ['-O2', '-o', program, join(root, 'bench/peers/reduce_bandwidth.c'), ...options]);
    const on = (words: readonly string[]): number[] =>
      execFileSync('mpirun', [...mpirun, '-n', String(ranks), ...words], { cwd: root, encoding: 'utf8' })
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
    for (const [name, values] of Object.entries(seconds))
      process.stdout.write(
        `${name}: median ${median(values).toFixed(3)} s, best ${Math.min(...values).toFixed(3)} s, ${((4 * count) / median(values) / 1e9).toFixed(2)} GB/s\n`,
      );
    process.stdout.write(
      `bandwidth of C reached: ${(median(seconds.C) / median(seconds['stable-diffusion-ts'])).toFixed(2)}\n`,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const [first = '2', second = '100000000', third = '5'] = process.argv.slice(2);
if (first === 'rank') await reduce(Number(second), Number(third));
else compare(Number(first), Number(second), Number(third));
