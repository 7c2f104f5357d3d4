/**
 * What the server adds to a picture, and what batching gains, with the pocket model.
 *
 *     node --import ./tools/typescript.mjs bench/server-overhead.ts [rounds]
 *
 * Overhead: the same picture by the library in this process and through a server (A1111's txt2img: queue, journal, PNG, store, base64, HTTP),
 * in turn; the median of each, and the quickest, which other work on the machine disturbs least. Batching: as many jobs at once as fill four runs, to a server that makes one picture a run and to one that
 * makes eight, in turn.
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeEngine } from '../src/engine/node.ts';
import { loadModel, textToImage } from '../src/index.ts';
import { startServe } from '../test/server/program.ts';

const rounds = Number(process.argv[2] ?? 7);
const threads = cpus().length;
const folder = mkdtempSync(join(tmpdir(), 'sd-overhead-'));
const start = (maxBatch: number) => startServe(['--data', join(folder, String(maxBatch)), '--threads', String(threads), '--max-batch', String(maxBatch)]);
const [alone, batching] = [await start(1), await start(8)];
// As the server's own engine.
const engine = createNodeEngine({ threads, background: true });
const model = await loadModel(undefined, { engine });
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const quickest = (list: readonly number[]): number => Math.min(...list);
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
};

interface Setting {
  readonly side: number;
  readonly steps: number;
}
const byLibrary = async ({ side, steps }: Setting, seed: number): Promise<void> => {
  for await (const _ of textToImage(model, { prompt: 'a red apple', seed, width: side, height: side, steps, sampler: 'Euler a', guidanceScale: 7, noise: 'a1111-cpu' }));
};
const byServer = async (url: string, { side, steps }: Setting, seed: number): Promise<void> => {
  const body = JSON.stringify({ prompt: 'a red apple', seed, width: side, height: side, steps, sampler_name: 'Euler a', cfg_scale: 7, override_settings: { randn_source: 'CPU' } });
  const response = await fetch(`${url}/sdapi/v1/txt2img`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  if (response.status !== 200) throw new Error(await response.text());
  await response.text();
};

const rows: { name: string; library: number; server: number; overhead: number; atBest: number }[] = [];
for (const setting of [{ side: 128, steps: 20 }, { side: 128, steps: 50 }, { side: 256, steps: 20 }]) {
  await byLibrary(setting, 0);
  await byServer(alone.url, setting, 0);
  const [library, server]: [number[], number[]] = [[], []];
  for (let round = 1; round <= rounds; round++) {
    library.push(await timed(() => byLibrary(setting, round)));
    server.push(await timed(() => byServer(alone.url, setting, round)));
  }
  rows.push({ name: `${setting.side}x${setting.side}, ${setting.steps} steps`, library: median(library), server: median(server), overhead: median(server) / median(library) - 1, atBest: quickest(server) / quickest(library) - 1 });
}
const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
console.table(rows.map(({ name, library, server, overhead, atBest }) => ({ picture: name, 'library ms': Math.round(library), 'server ms': Math.round(server), overhead: percent(overhead), 'of the quickest': percent(atBest) })));

const batches: { name: string; one: number; eight: number }[] = [];
const jobs = 32;
for (const setting of [{ side: 64, steps: 10 }, { side: 128, steps: 10 }]) {
  const perSecond = async (url: string, round: number): Promise<number> => (1000 * jobs) / (await timed(() => Promise.all(Array.from({ length: jobs }, (_, i) => byServer(url, setting, round * 100 + i)))));
  const [one, eight]: [number[], number[]] = [[], []];
  for (let round = 0; round <= Math.min(3, rounds); round++) {
    const found = [await perSecond(alone.url, round), await perSecond(batching.url, round)] as const;
    // The first warms up.
    if (round > 0) one.push(found[0]), eight.push(found[1]);
  }
  batches.push({ name: `${setting.side}x${setting.side}, ${setting.steps} steps`, one: median(one), eight: median(eight) });
}
console.table(batches.map(({ name, one, eight }) => ({ pictures: name, 'alone, images/s': one.toFixed(2), 'up to 8 together, images/s': eight.toFixed(2), gain: `${(eight / one).toFixed(2)} x` })));
if (process.argv[3]) writeFileSync(process.argv[3], JSON.stringify({ rows, batches }));
for (const server of [alone, batching]) await server.end('SIGTERM');
await model.dispose();
await engine.dispose();
rmSync(folder, { recursive: true, force: true });
