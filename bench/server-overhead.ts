/**
 * What the server adds to a picture, and what batching gains, with the pocket model.
 *
 *     node --import ./tools/typescript.mjs bench/server-overhead.ts [rounds]
 *
 * Overhead: pictures through a server (A1111's txt2img: queue, journal, PNG, store, base64, HTTP). Of each the time that its client waits is
 * compared with the time in which the server's networks and samplers were at work for it (`sd_sampling_seconds_total`), and with the time that the
 * library takes for the same picture in this process just before; medians of both differences. Two processes differ by some per cent from start to
 * start, whatever they do, so that the second comparison is the rougher one.
 *
 * Batching: as many jobs at once as fill four runs, to a server that makes one picture a run and to one that makes eight, in turn.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeEngine } from '../src/engine/node.ts';
import { loadModel, textToImage } from '../src/index.ts';
import { startServe } from '../test/server/program.ts';

const rounds = Number(process.argv[2] ?? 15);
const threads = cpus().length;
const folder = mkdtempSync(join(tmpdir(), 'sd-overhead-'));
const start = (maxBatch: number) =>
  startServe(['--data', join(folder, String(maxBatch)), '--threads', String(threads), '--max-batch', String(maxBatch)]);
const [alone, batching] = [await start(1), await start(8)];
// As the server's own engine.
const engine = createNodeEngine({ threads, background: true });
const model = await loadModel(undefined, { engine });
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
};

/** Milliseconds of processor time of all threads of a process so far (Linux): unlike the clock, the same whatever else the machine does. */
const processorTime = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, thread) => sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6,
    0,
  );

interface Setting {
  readonly side: number;
  readonly steps: number;
}
const byLibrary = async ({ side, steps }: Setting, seed: number): Promise<void> => {
  for await (const _ of textToImage(model, {
    prompt: 'a red apple',
    seed,
    width: side,
    height: side,
    steps,
    sampler: 'Euler a',
    guidanceScale: 7,
    noise: 'a1111-cpu',
  }));
};
const byServer = async (url: string, { side, steps }: Setting, seed: number): Promise<void> => {
  const body = JSON.stringify({
    prompt: 'a red apple',
    seed,
    width: side,
    height: side,
    steps,
    sampler_name: 'Euler a',
    cfg_scale: 7,
    override_settings: { randn_source: 'CPU' },
  });
  const response = await fetch(`${url}/sdapi/v1/txt2img`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  if (response.status !== 200) throw new Error(await response.text());
  await response.text();
};

/** Milliseconds in which the server's networks and samplers were at work so far. */
const samplingTime = async (url: string): Promise<number> =>
  1000 * Number(/^sd_sampling_seconds_total (\S+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1]);

const rows: {
  name: string;
  library: number;
  server: number;
  sampling: number;
  added: number;
  difference: number;
  libraryProcessor: number;
  serverProcessor: number;
}[] = [];
for (const setting of [
  { side: 128, steps: 20 },
  { side: 128, steps: 50 },
  { side: 256, steps: 20 },
]) {
  await byLibrary(setting, 0);
  await byServer(alone.url, setting, 0);
  const [library, server, sampling]: [number[], number[], number[]] = [[], [], []];
  const [libraryProcessor, serverProcessor]: [number[], number[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    const before = processorTime(process.pid);
    library.push(await timed(() => byLibrary(setting, round)));
    libraryProcessor.push(processorTime(process.pid) - before);
    const sampled = await samplingTime(alone.url);
    const pid = alone.process.pid ?? 0;
    const serverBefore = processorTime(pid);
    server.push(await timed(() => byServer(alone.url, setting, round)));
    serverProcessor.push(processorTime(pid) - serverBefore);
    sampling.push((await samplingTime(alone.url)) - sampled);
  }
  const above = (base: readonly number[]): number => median(server.map((time, i) => time - (base[i] ?? 0)));
  rows.push({
    name: `${setting.side}x${setting.side}, ${setting.steps} steps`,
    library: median(library),
    server: median(server),
    sampling: median(sampling),
    added: above(sampling),
    difference: above(library),
    libraryProcessor: median(libraryProcessor),
    serverProcessor: median(serverProcessor),
  });
}
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
console.table(
  rows.map((row) => ({
    picture: row.name,
    'client waits, ms': Math.round(row.server),
    'of it sampling': Math.round(row.sampling),
    'added ms': row.added.toFixed(1),
    overhead: percent(row.added / row.sampling),
    'library ms': Math.round(row.library),
    'more than the library': percent(row.difference / row.library),
    'library CPU ms': Math.round(row.libraryProcessor),
    'server CPU ms': Math.round(row.serverProcessor),
    'CPU overhead': percent(row.serverProcessor / row.libraryProcessor - 1),
  })),
);

const batches: { name: string; one: number; eight: number }[] = [];
const jobs = 32;
for (const setting of [
  { side: 64, steps: 10 },
  { side: 128, steps: 10 },
]) {
  const perSecond = async (url: string, round: number): Promise<number> =>
    (1000 * jobs) /
    (await timed(() => Promise.all(Array.from({ length: jobs }, (_, i) => byServer(url, setting, round * 100 + i)))));
  const [one, eight]: [number[], number[]] = [[], []];
  for (let round = 0; round <= Math.min(3, rounds); round++) {
    const found = [await perSecond(alone.url, round), await perSecond(batching.url, round)] as const;
    // The first warms up.
    if (round === 0) continue;
    one.push(found[0]);
    eight.push(found[1]);
  }
  batches.push({
    name: `${setting.side}x${setting.side}, ${setting.steps} steps`,
    one: median(one),
    eight: median(eight),
  });
}
console.table(
  batches.map(({ name, one, eight }) => ({
    pictures: name,
    'alone, images/s': one.toFixed(2),
    'up to 8 together, images/s': eight.toFixed(2),
    gain: `${(eight / one).toFixed(2)} x`,
  })),
);
if (process.argv[3]) writeFileSync(process.argv[3], JSON.stringify({ rows, batches }));
for (const server of [alone, batching]) await server.end('SIGTERM');
await model.dispose();
await engine.dispose();
rmSync(folder, { recursive: true, force: true });
