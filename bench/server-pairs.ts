/**
 * Two checkouts of the program beside each other, for what a change costs well-behaved callers: throughput of several callers at once, and
 * the latency of the smallest job. Both servers run at the same time and are asked in turn, so that whatever else the machine does meets both.
 *
 *     git worktree add /tmp/before COMMIT && (cd /tmp/before && npm ci && npm run build)
 *     npm run build && node --import ./tools/typescript.mjs bench/server-pairs.ts /tmp/before . [rounds]
 *
 * Prints the median of the ratios of each pair of rounds, second by first, with quartiles: throughput above 0.97 and latency within 20 ms
 * are what docs/security.md promises.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { percentile } from '../tools/load/figures.ts';

const [first = '', second = '', given = '12'] = process.argv.slice(2);
if (second === '') throw new Error('Give two folders of checkouts that are built, the older one first.');
const rounds = Number(given);
const [callers, jobs] = [4, 3];
const keyOf = (caller: number): string => `a-secret-of-caller-${caller}`;

interface Server {
  readonly url: string;
  readonly process: ChildProcess;
  readonly data: string;
}

async function start(folder: string): Promise<Server> {
  const data = mkdtempSync(join(tmpdir(), 'sd-pairs-'));
  const keys = Array.from({ length: callers }, (_, i) => ['--api-key', `caller${i}:${keyOf(i)}`]).flat();
  const child = spawn(
    process.execPath,
    [
      join(resolve(folder), 'dist/cli/main.js'),
      'serve',
      '--port',
      '0',
      '--data',
      data,
      '--log-level',
      'error',
      '--threads',
      String(Math.max(1, Math.floor(cpus().length / 2))),
      ...keys,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const url = await new Promise<string>((found, failed) => {
    child.stdout.on('data', (bytes: Buffer) => {
      const address = /Serving at (\S+)/.exec(bytes.toString())?.[1];
      if (address) found(address);
    });
    child.once('exit', (code) => failed(new Error(`${folder} ended with ${code}`)));
  });
  return { url, process: child, data };
}

async function picture({ url }: Server, caller: number, steps: number, seed: number): Promise<void> {
  const response = await fetch(`${url}/sdapi/v1/txt2img`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': keyOf(caller) },
    body: JSON.stringify({ prompt: 'a red apple', width: 64, height: 64, steps, seed }),
  });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status} ${text.slice(0, 200)}`);
}

/** Pictures a second of all callers at once. */
async function throughput(server: Server, round: number): Promise<number> {
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let i = 0; i < jobs; i++) await picture(server, caller, 8, round * 100 + i);
    }),
  );
  return (1000 * callers * jobs) / (performance.now() - begun);
}

/** Milliseconds of a job of one step with nothing else to do. */
async function latency(server: Server, round: number): Promise<number> {
  const begun = performance.now();
  await picture(server, 0, 1, round);
  return performance.now() - begun;
}

const servers = [await start(first), await start(second)] as const;
const rows: { readonly ratio: number; readonly added: number; readonly pair: readonly number[] }[] = [];
try {
  for (let round = 0; round <= rounds; round++) {
    // Who begins changes from round to round.
    const order = round % 2 === 0 ? [0, 1] : [1, 0];
    const [speeds, waits] = [
      [0, 0],
      [0, 0],
    ];
    for (const which of order) {
      const server = servers[which] as Server;
      speeds[which] = await throughput(server, round);
      waits[which] = await latency(server, round);
    }
    const [[a = 0, b = 0], [before = 0, after = 0]] = [speeds, waits];
    // The first warms up.
    if (round > 0) rows.push({ ratio: b / a, added: after - before, pair: [a, b, before, after] });
  }
} finally {
  for (const server of servers) {
    server.process.removeAllListeners('exit').kill('SIGTERM');
    await new Promise((ended) => server.process.once('exit', ended));
    rmSync(server.data, { recursive: true, force: true });
  }
}
const of = (values: readonly number[], share: number): string => percentile(values, share).toFixed(3);
console.table(
  [
    ['pictures a second, second by first', rows.map(({ ratio }) => ratio)] as const,
    ['milliseconds that the smallest job takes longer', rows.map(({ added }) => added)] as const,
  ].map(([what, values]) => ({
    what,
    median: of(values, 0.5),
    quartiles: `${of(values, 0.25)} to ${of(values, 0.75)}`,
    rounds: values.length,
  })),
);
