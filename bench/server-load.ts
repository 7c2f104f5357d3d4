/**
 * Load on the server: many clients at once for a minute, with the pocket model. Each accepted job must be finished once; status calls must
 * stay quick while pictures are made; memory must stay flat; keys must be served alike, however many clients each has.
 *
 *     node --import ./tools/typescript.mjs bench/server-load.ts                          one process with its journal
 *     node --import ./tools/typescript.mjs bench/server-load.ts --redis --kill-every 5   Redis, two workers, one killed every five seconds
 *
 * Half of the clients have one key between them, the rest are spread over nine others. Every client sends a job, follows it by polling, by
 * events or by waiting for A1111's answer, and begins again. Prints a summary, and with --json FILE writes all figures, with --plot FILE.svg a plot.
 */

import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Program, startServe, startWork } from '../test/server/program.ts';
import { startRedis } from '../test/server/redis-server.ts';

const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '60' },
    keys: { type: 'string', default: '10' },
    redis: { type: 'boolean', default: false },
    workers: { type: 'string', default: '2' },
    'kill-every': { type: 'string', default: '0' },
    'max-batch': { type: 'string', default: '8' },
    threads: { type: 'string', default: '' },
    size: { type: 'string', default: '64' },
    steps: { type: 'string', default: '4' },
    json: { type: 'string', default: '' },
    plot: { type: 'string', default: '' },
  },
});
const [clients, seconds, keyCount, workers, killEvery, size, steps] = [
  values.clients,
  values.seconds,
  values.keys,
  values.workers,
  values['kill-every'],
  values.size,
  values.steps,
].map(Number) as [number, number, number, number, number, number, number];

const folder = mkdtempSync(join(tmpdir(), 'sd-load-'));
const keys = Array.from({ length: keyCount }, (_, i) => ({ name: `key${i}`, secret: `secret-of-key${i}` }));
type Key = (typeof keys)[number];
/** Half of the clients have the first key. */
const keyOf = (client: number): Key =>
  keys[client < clients / 2 || keyCount === 1 ? 0 : 1 + (client % (keyCount - 1))] as Key;
const common = [
  '--log-level',
  'info',
  '--max-batch',
  values['max-batch'],
  ...(values.threads ? ['--threads', values.threads] : []),
];

// --- the programs ---

const redis = values.redis ? await startRedis() : undefined;
const shared = redis ? ['--redis', redis.url, '--lock-seconds', '2'] : [];
const server = await startServe([
  '--data',
  join(folder, 'server'),
  ...common,
  ...shared,
  ...(redis ? ['--no-work'] : []),
  ...keys.flatMap(({ name, secret }) => ['--api-key', `${name}:${secret}`]),
]);
const ended: Program[] = [];
// The workers share the processor with the server here; it comes first.
const startWorker = (): Promise<Program> =>
  startWork(
    redis?.url ?? '',
    ['--data', join(folder, 'worker'), ...common, '--lock-seconds', '2'],
    ['nice', '-n', '5'],
  );
const working: Program[] = redis ? await Promise.all(Array.from({ length: workers }, startWorker)) : [];

// --- requests, with their times ---

const agent = new Agent({ keepAlive: true, maxSockets: clients * 2 });
const { hostname, port } = new URL(server.url);

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly milliseconds: number;
}

function send(
  method: string,
  path: string,
  key: Key,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const text = body === undefined ? undefined : JSON.stringify(body);
    const request = httpRequest(
      {
        hostname,
        port,
        method,
        path,
        agent,
        headers: {
          authorization: `Bearer ${key.secret}`,
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            text: Buffer.concat(chunks).toString(),
            milliseconds: performance.now() - begun,
          }),
        );
        response.on('error', reject);
      },
    );
    request.on('error', reject);
    request.end(text);
  });
}

const statusTimes: number[] = [];
const acceptTimes: number[] = [];
const refusals = new Map<number, number>();
const refuse = ({ status }: Reply): void => void refusals.set(status, (refusals.get(status) ?? 0) + 1);
/** Accepted through the jobs API: what became of it is looked at in the end. */
const accepted = new Map<string, Key>();
/** Answered by A1111's API. */
const answered = new Map<Key, number>();
let duplicates = 0;
let lost = 0;
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

interface View {
  readonly id: string;
  readonly state: string;
  readonly attempt: number;
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly result: { readonly images: readonly unknown[] } | null;
}

async function status(path: string, key: Key): Promise<Reply> {
  const reply = await send('GET', path, key);
  statusTimes.push(reply.milliseconds);
  if (reply.status !== 200) refuse(reply);
  return reply;
}

const isOpen = (state: string): boolean => state === 'queued' || state === 'running';
const requestOf = (seed: number): object => ({
  prompt: 'a red apple',
  seed,
  width: size,
  height: size,
  steps: steps + (seed % 2),
});

async function byPolling(key: Key, seed: number): Promise<void> {
  const reply = await send('POST', '/api/v1/jobs', key, requestOf(seed), { 'idempotency-key': randomUUID() });
  if (reply.status !== 202) return refuse(reply);
  acceptTimes.push(reply.milliseconds);
  const { id } = JSON.parse(reply.text) as View;
  if (accepted.has(id)) duplicates++;
  accepted.set(id, key);
  for (;;) {
    await pause(500 + (seed % 7) * 100);
    const found = await status(`/api/v1/jobs/${id}`, key);
    if (found.status === 200 && !isOpen((JSON.parse(found.text) as View).state)) return;
  }
}

async function byEvents(key: Key, seed: number): Promise<void> {
  const reply = await send('POST', '/api/v1/jobs', key, requestOf(seed));
  if (reply.status !== 202) return refuse(reply);
  acceptTimes.push(reply.milliseconds);
  const { id } = JSON.parse(reply.text) as View;
  if (accepted.has(id)) duplicates++;
  accepted.set(id, key);
  const events = await send('GET', `/api/v1/jobs/${id}/events?previews=false`, key);
  const results = events.text.match(/^event: result$/gm)?.length ?? 0;
  if (results > 1) duplicates++;
  if (results === 0) lost++;
}

async function byWaiting(key: Key, seed: number): Promise<void> {
  const { prompt, width, height, steps: count } = requestOf(seed) as Record<string, unknown>;
  let done = false;
  const making = send('POST', '/sdapi/v1/txt2img', key, {
    prompt,
    seed,
    width,
    height,
    steps: count,
    sampler_name: 'Euler a',
  }).finally(() => {
    done = true;
  });
  while (!done) {
    await Promise.race([making, pause(700)]);
    if (!done) await status('/sdapi/v1/progress?skip_current_image=true', key);
  }
  const reply = await making;
  if (reply.status !== 200) return refuse(reply);
  if ((JSON.parse(reply.text) as { images: unknown[] }).images.length === 1)
    answered.set(key, (answered.get(key) ?? 0) + 1);
  else lost++;
}

const ways = [byPolling, byEvents, byWaiting, byPolling];
let over = false;
let seeds = 0;

async function client(number: number): Promise<void> {
  const way = ways[number % ways.length] as (typeof ways)[number];
  await pause(number * 5);
  while (!over) await way(keyOf(number), seeds++);
}

// --- memory, and the end of workers ---

const rssOf = (program: Program): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${program.process.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
interface Sample {
  readonly second: number;
  readonly rss: readonly number[];
  readonly done: number;
}
const samples: Sample[] = [];
let kills = 0;

// The model is loaded, and first runs are behind.
await send('POST', '/sdapi/v1/txt2img', keys[0] as Key, {
  prompt: 'warm',
  width: size,
  height: size,
  steps: 1,
  sampler_name: 'Euler a',
});
const cpuBefore = loadavg()[0];
const begun = performance.now();
const since = (): number => (performance.now() - begun) / 1000;
const running = Array.from({ length: clients }, (_, i) => client(i));
const sampling = setInterval(() => {
  samples.push({
    second: since(),
    rss: [server, ...working].flatMap((program) =>
      program.process.exitCode === null && program.process.signalCode === null ? [rssOf(program)] : [],
    ),
    done: doneCount(),
  });
}, 1000);
const killing = (async () => {
  while (killEvery > 0 && !over) {
    await pause(killEvery * 1000);
    const [victim] = working;
    if (!victim || over) continue;
    working.shift();
    await victim.end('SIGKILL');
    kills++;
    ended.push(victim);
    working.push(await startWorker());
  }
})();

/** Jobs that the programs' logs tell as done. */
function outcomes(): Map<string, number> {
  const done = new Map<string, number>();
  for (const program of [server, ...working, ...ended]) {
    for (const line of program.errors().split('\n')) {
      if (!line.includes('"outcome":"done"')) continue;
      const id = /"job":"([^"]+)"/.exec(line)?.[1] ?? '';
      done.set(id, (done.get(id) ?? 0) + 1);
    }
  }
  return done;
}
function doneCount(): number {
  return [server, ...working, ...ended].reduce(
    (sum, program) => sum + (program.errors().match(/"outcome":"done"/g)?.length ?? 0),
    0,
  );
}

await pause(seconds * 1000);
const inTime = new Map<Key, number>(answered);
const doneInTime = doneCount();
over = true;
await Promise.all(running);
await killing;
const drained = since();
clearInterval(sampling);

// --- what became of it ---

let notDone = 0;
const waits: number[] = [];
const finishedPerKey = new Map<Key, number>(inTime);
const cutoff = Date.now() - (drained - seconds) * 1000;
let attempts = 0;
for (const [id, key] of accepted) {
  const job = JSON.parse((await send('GET', `/api/v1/jobs/${id}`, key)).text) as View;
  if (job.state !== 'done' || job.result?.images.length !== 1) notDone++;
  if (job.attempt > 1) attempts++;
  if (job.finishedAt && Date.parse(job.finishedAt) <= cutoff)
    finishedPerKey.set(key, (finishedPerKey.get(key) ?? 0) + 1);
  if (job.startedAt) waits.push(Date.parse(job.startedAt) - Date.parse(job.createdAt));
}
let listed = 0;
for (const key of keys) {
  for (let before = ''; ; ) {
    const { jobs, next } = JSON.parse((await send('GET', `/api/v1/jobs?limit=100${before}`, key)).text) as {
      jobs: View[];
      next: string | null;
    };
    listed += jobs.length;
    if (!next) break;
    before = `&before=${next}`;
  }
}
const answeredTotal = [...answered.values()].reduce((sum, count) => sum + count, 0);
const twice = [...outcomes().values()].filter((count) => count > 1).length;
const quantile = (list: readonly number[], q: number): number =>
  [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(q * list.length))] ?? 0;
const mean = (list: readonly number[]): number =>
  list.reduce((sum, value) => sum + value, 0) / Math.max(1, list.length);
const perKey = keys.map((key) => finishedPerKey.get(key) ?? 0);
const jain =
  perKey.reduce((sum, count) => sum + count, 0) ** 2 /
  (perKey.length * perKey.reduce((sum, count) => sum + count ** 2, 0));
const total = (from: number, to: number): number =>
  mean(samples.filter(({ second }) => second >= from * seconds && second < to * seconds).map(({ rss }) => rss[0] ?? 0));
const figures = {
  clients,
  seconds,
  keys: keyCount,
  queue: redis ? 'redis' : 'sqlite',
  workers: redis ? workers : 0,
  kills,
  size,
  steps,
  machine: cpus()[0]?.model,
  cores: cpus().length,
  loadBefore: cpuBefore,
  accepted: accepted.size + answeredTotal,
  jobsPerSecond: doneInTime / seconds,
  notDone: notDone + lost,
  finishedTwice: twice + duplicates,
  unexpected: listed - accepted.size - answeredTotal - 1, // one to warm up
  begunAgain: attempts,
  refusals: Object.fromEntries(refusals),
  statusCalls: statusTimes.length,
  status: {
    p50: quantile(statusTimes, 0.5),
    p95: quantile(statusTimes, 0.95),
    p99: quantile(statusTimes, 0.99),
    max: quantile(statusTimes, 1),
  },
  accept: { p50: quantile(acceptTimes, 0.5), p99: quantile(acceptTimes, 0.99) },
  wait: { p50: quantile(waits, 0.5), p99: quantile(waits, 0.99) },
  perKey,
  jain,
  serverRss: {
    firstQuarter: total(0.1, 0.35),
    lastQuarter: total(0.75, 1),
    max: Math.max(...samples.map(({ rss }) => rss[0] ?? 0)),
  },
  drainSeconds: drained - seconds,
  samples,
};
const { samples: _samples, ...shown } = figures;
console.log(
  JSON.stringify(shown, (_, value: unknown) => (typeof value === 'number' ? Math.round(value * 100) / 100 : value), 1),
);
if (values.json) writeFileSync(values.json, JSON.stringify(figures));
if (values.plot) writeFileSync(values.plot, plot());

/** Memory of each process, and jobs done, over time; SVG. */
function plot(): string {
  const [width, height, left, bottom] = [640, 220, 44, 24];
  const last = samples.at(-1)?.second ?? 1;
  const mostRss = 100 * Math.ceil(Math.max(...samples.flatMap(({ rss }) => rss)) / 100);
  const mostDone = Math.max(1, ...samples.map(({ done }) => done));
  const x = (second: number): number => left + (second / last) * (width - 2 * left);
  const y = (share: number): number => height - bottom - share * (height - bottom - 16);
  const line = (colour: string, of: (sample: Sample) => number | undefined): string =>
    `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${samples
      .flatMap((sample) => {
        const share = of(sample);
        return share === undefined ? [] : [`${x(sample.second).toFixed(1)},${y(share).toFixed(1)}`];
      })
      .join(' ')}"/>`;
  const text = (at: number, up: number, anchor: string, words: string, colour = '#666'): string =>
    `<text x="${at}" y="${up}" text-anchor="${anchor}" fill="${colour}">${words}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#fff"/>
<path d="M${left} 16V${height - bottom}H${width - left}V16" fill="none" stroke="#999"/>
${line('#d33', ({ rss }) => (rss[0] ?? 0) / mostRss)}
${line('#36c', ({ done }) => done / mostDone)}
${text(left - 4, 20, 'end', `${mostRss}`)}${text(left - 4, height - bottom, 'end', '0')}${text(width - left + 4, 20, 'start', `${mostDone}`)}${text(left, height - 8, 'start', '0 s')}${text(width - left, height - 8, 'end', `${Math.round(last)} s`)}
${text(width / 2, height - 8, 'middle', `${clients} clients${redis ? `, ${workers} workers, ${kills} killed` : ''}`)}${text(left + 6, 12, 'start', 'memory of the server, MB', '#d33')}${text(width - left - 6, 12, 'end', 'jobs done', '#36c')}
</svg>
`;
}
for (const program of [...working, server]) await program.end('SIGTERM');
await redis?.stop();
agent.destroy();
rmSync(folder, { recursive: true, force: true });
if (figures.notDone > 0 || figures.finishedTwice > 0) process.exitCode = 1;
