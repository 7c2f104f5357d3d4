/**
 * `npm run load`: many callers with many jobs and event streams on one server and its workers on Redis, while workers are killed at random.
 * Prints throughput, waits, fairness and losses, and writes build/load.json and build/load.svg.
 *
 *     npm run load                                     20 callers, 200 jobs, 40 streams, 2 workers, one killed every 20 s
 *     npm run load -- --callers 200 --jobs 10000 --streams 1000 --workers 3 --kill-every 60
 *     npm run load -- --workers 0                      one server that works itself, without Redis
 *
 * What is not done `--seconds` (default 540) after the last job was accepted is counted as unfinished; lost is what the server does not know any more.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { lineChart } from '../src/plot/line-chart.ts';
import { contestedWork, type Finished, jainsIndex, percentile } from './load/figures.ts';
import { startStack } from './load/stack.ts';

const text = (value: string) => ({ type: 'string', default: value }) as const;
const { values } = parseArgs({
  options: {
    callers: text('20'),
    jobs: text('200'),
    streams: text('40'),
    workers: text('2'),
    'kill-every': text('20'),
    seconds: text('540'),
  },
});
const [callers, jobs, streams] = [Number(values.callers), Number(values.jobs), Number(values.streams)];
const begun = performance.now();
const elapsed = (): number => performance.now() - begun;

const secretOf = (name: string): string => `secret-of-${name}`;
const names = Array.from({ length: callers }, (_, i) => `caller${i}`);
/** One more, that sends small jobs one after another beside the load. */
const prober = 'prober';
const stack = await startStack(
  [...names, prober].map((name) => `${name}:${secretOf(name)}`),
  Number(values.workers),
  [
    '--max-queue',
    String(jobs + 100),
    '--max-queue-per-key',
    String(jobs + 100),
    '--max-requests-per-minute',
    '1000000',
  ],
);

interface JobView {
  readonly id: string;
  readonly state: string;
  readonly result: { readonly images: readonly unknown[] } | null;
}

async function call(owner: string, path: string, body?: object): Promise<Response> {
  return fetch(stack.url + path, {
    headers: { 'x-api-key': secretOf(owner), ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
  });
}

/** Callers have jobs of other sizes: fairness is by work. */
const stepsOf = (caller: number): number => 1 + (caller % 4);
const bodyOf = (steps: number, seed: number): object => ({ prompt: 'a red apple', width: 64, height: 64, steps, seed });

async function send(owner: string, body: object): Promise<string> {
  for (;;) {
    const response = await call(owner, '/api/v1/jobs', body);
    if (response.status === 202) return ((await response.json()) as JobView).id;
    if (response.status !== 429 && response.status !== 503)
      throw new Error(`${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    await wait(1000 * Number(response.headers.get('retry-after') ?? '1'));
  }
}

/** Events of a job by kind, until it has ended. */
async function follow(owner: string, id: string, results: Map<string, number>): Promise<void> {
  const response = await call(owner, `/api/v1/jobs/${id}/events?previews=false`);
  let rest = '';
  for await (const chunk of response.body ?? []) {
    const lines = (rest + Buffer.from(chunk as Uint8Array).toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line === 'event: result') results.set(id, (results.get(id) ?? 0) + 1);
  }
}

/** Seconds from sending a smallest job to its end. */
async function probe(seed: number): Promise<number> {
  const start = performance.now();
  const id = await send(prober, bodyOf(1, seed));
  await follow(prober, id, new Map());
  return (performance.now() - start) / 1000;
}

/** Jobs a second of one caller alone, with nothing else to do. */
async function throughputAlone(): Promise<number> {
  const count = Math.max(10, Math.min(40, jobs / 5));
  await probe(0);
  const start = performance.now();
  const ids = await Promise.all(Array.from({ length: count }, (_, i) => send(prober, bodyOf(2, i))));
  await Promise.all(ids.map((id) => follow(prober, id, new Map())));
  return (1000 * 2 * count) / (performance.now() - start);
}

const alone = await throughputAlone();
const [health, small, kills]: [number[], number[], number[]] = [[], [], []];
const points: { readonly at: number; readonly health: number }[] = [];
let isOver = false;
const watching = (async () => {
  while (!isOver) {
    const start = performance.now();
    await (await fetch(`${stack.url}/healthz`)).text();
    health.push(performance.now() - start);
    points.push({ at: elapsed() / 1000, health: performance.now() - start });
    await wait(100);
  }
})();
const killing = (async () => {
  const every = Number(values['kill-every']);
  for (let left = every; !isOver && every > 0; left -= 0.25) {
    await wait(250);
    if (left > 0) continue;
    if (await stack.killWorker()) kills.push(elapsed() / 1000);
    left = every;
  }
})();

const loadBegun = elapsed();
const accepted = new Map<string, { readonly owner: string; readonly work: number }>();
await Promise.all(
  names.map(async (owner, caller) => {
    for (let i = caller; i < jobs; i += callers) {
      const id = await send(owner, bodyOf(stepsOf(caller), i));
      accepted.set(id, { owner, work: stepsOf(caller) });
    }
  }),
);
console.log(
  `${accepted.size} jobs of ${callers} callers were accepted in ${((elapsed() - loadBegun) / 1000).toFixed(1)} s`,
);
const results = new Map<string, number>();
const following = [...accepted].slice(-streams).map(([id, { owner }]) => follow(owner, id, results).catch(() => {}));
const probing = (async () => {
  for (let seed = 1000; !isOver; seed++) small.push(await probe(seed));
})();

const finished = new Map<string, Finished>();
const failed = new Set<string>();
/** Accepted jobs that the server has shown. */
const known = new Set<string>();
const until = elapsed() + 1000 * Number(values.seconds);
const progress: { readonly at: number; readonly done: number }[] = [];
/** Asks for every caller's finished jobs until none is open. */
while (finished.size + failed.size < accepted.size && elapsed() < until) {
  for (const owner of names) {
    for (let before = ''; ; ) {
      const response = await call(owner, `/api/v1/jobs?limit=100${before === '' ? '' : `&before=${before}`}`);
      const page = (await response.json()) as { readonly jobs: readonly JobView[]; readonly next: string | null };
      for (const { id, state } of page.jobs) {
        const job = accepted.get(id);
        if (job) known.add(id);
        if (!job || finished.has(id)) continue;
        if (state === 'done') finished.set(id, { ...job, at: elapsed() });
        else if (state === 'failed' || state === 'cancelled') failed.add(id);
      }
      if (page.next === null) break;
      before = page.next;
    }
  }
  progress.push({ at: elapsed() / 1000, done: finished.size });
  // Each look asks for the jobs of every caller.
  await wait(Math.max(250, 10 * callers));
}
const loadSeconds = (elapsed() - loadBegun) / 1000;
isOver = true;
await Promise.all([
  watching,
  killing,
  Promise.race([probing, wait(30_000)]),
  Promise.race([Promise.all(following), wait(10_000)]),
]);

const work = [...finished.values()].reduce((sum, job) => sum + job.work, 0);
const figures = {
  callers,
  jobs: accepted.size,
  streams: following.length,
  workers: stack.workers,
  workersKilled: kills.length,
  seconds: Number(loadSeconds.toFixed(1)),
  stepsPerSecond: Number((work / loadSeconds).toFixed(2)),
  stepsPerSecondOfOneCaller: Number(alone.toFixed(2)),
  healthMilliseconds: { p50: Math.round(percentile(health, 0.5)), p99: Math.round(percentile(health, 0.99)) },
  smallestJobSeconds: {
    p50: Number(percentile(small, 0.5).toFixed(2)),
    p99: Number(percentile(small, 0.99).toFixed(2)),
  },
  peakMegabytes: Math.round(stack.memory() / 1e6),
  fairness: Number(jainsIndex(contestedWork([...finished.values()])).toFixed(4)),
  lost: accepted.size - known.size,
  unfinished: accepted.size - finished.size - failed.size,
  failed: failed.size,
  madeTwice: [...results.values()].filter((count) => count > 1).length,
};
console.log(JSON.stringify(figures, null, 2));
const build = join(import.meta.dirname, '../build');
mkdirSync(build, { recursive: true });
writeFileSync(join(build, 'load.json'), `${JSON.stringify({ figures, kills, progress }, null, 1)}\n`);
const killed = { name: 'a worker killed', points: kills.map((x) => ({ x, y: 0 })), markers: true };
writeFileSync(
  join(build, 'load.svg'),
  lineChart(
    [
      { name: 'jobs done', points: progress.map(({ at, done }) => ({ x: at, y: done })) },
      { name: '/healthz, ms', points: points.map(({ at, health: y }) => ({ x: at, y })) },
      killed,
    ],
    { title: `${accepted.size} jobs of ${callers} callers`, xLabel: 'seconds' },
  ),
);
stack.stop();
process.exit(figures.lost + figures.failed + figures.unfinished + figures.madeTwice === 0 ? 0 : 1);
