/** Files that the program keeps, under faults: checkpoints, caches, downloads, the folder of pictures, options, converted folders. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { preparedEntries, prunePrepared, usePrepared, writePrepared } from '../../src/engine/prepared-folder-node.ts';
import { isTemporaryName, removeHalfWritten } from '../../src/files/temporary-node.ts';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { writeNewFolder } from '../../src/files/write-folder-node.ts';
import { download } from '../../src/hub/download-node.ts';
import { openOptionsStore } from '../../src/server/options-store.ts';
import { openPictureFolder } from '../../src/server/store/picture-folder.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { latentCache, writeLatentCache } from '../../src/training/data/latent-cache-node.ts';
import { openCheckpoint, openCheckpoints } from '../../src/training/run/checkpoints-node.ts';
import { orRefused, type Said, type Scenario } from './scenario.ts';

const numbersOf = (said: Said, event: string): readonly number[] => (said.get(event) ?? []).map(Number);
const lastOf = (said: Said, event: string): number => numbersOf(said, event).at(-1) ?? 0;

const temporaryIn = (folder: string): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    isTemporaryName(name.split('/').at(-1) ?? ''),
  );

const bytesOf = (i: number): Uint8Array => new Uint8Array(50_000).fill(i);

const valuesOf = (step: number): number[] => Array.from({ length: 5000 }, (_, i) => step + i);

const checkpointOf = (step: number) => ({
  step,
  state: { step },
  entries: [{ name: 'w', dtype: 'float32', shape: [5000] } as const],
  provide: () => float32([5000], valuesOf(step)),
  score: [5, 3, 4, 1][step - 1] ?? 9,
});

const openRunFolder = (folder: string): ReturnType<typeof openCheckpoints> =>
  openCheckpoints(join(folder, 'checkpoints'), { keepBest: 2, keepEvery: 2 });

const checkpoints: Scenario = {
  async work(folder, say) {
    const run = await orRefused(() => openRunFolder(folder));
    for (let step = 1; run && step <= 4; step++)
      if (await orRefused(() => run.save(checkpointOf(step)))) say('saved', String(step));
  },
  async check(folder, said) {
    const run = await openRunFolder(folder);
    const last = await run.last();
    assert.ok((last?.step ?? 0) >= lastOf(said, 'saved'), `step ${lastOf(said, 'saved')} was saved and is lost`);
    await last?.weights.close();
    for (const name of readdirSync(join(folder, 'checkpoints'))) {
      const { step, weights } = await openCheckpoint(join(folder, 'checkpoints', name));
      assert.deepEqual([...(await weights.read('w')).data], valuesOf(step), name);
      await weights.close();
    }
    await run.save(checkpointOf(5));
    assert.deepEqual(temporaryIn(folder), []);
  },
};

const sampleOf = (i: number) => ({
  name: `p${i}`,
  digest: `d${i}`,
  captions: ['x'],
  metadata: {},
  latents: [float32([5000], valuesOf(i))],
});

const latents: Scenario = {
  async work(folder, say) {
    const options = { fingerprint: 'x', shardSize: 1 };
    const writer = await orRefused(() => writeLatentCache(join(folder, 'latents'), options));
    for (let i = 1; writer && i <= 4; i++)
      if ((await orRefused(async () => (await writer.add(sampleOf(i))) ?? true)) === true) say('cached', String(i));
  },
  async check(folder, said) {
    const [path, options] = [join(folder, 'latents'), { fingerprint: 'x', shardSize: 1 }];
    const writer = await writeLatentCache(path, options);
    for (const i of numbersOf(said, 'cached')) assert.ok(writer.has(`d${i} p${i}`), `sample ${i} is lost`);
    for (let i = 1; i <= 4; i++) await writer.add(sampleOf(i));
    await writer.finish();
    const cache = await latentCache(path, options);
    const found = await Promise.all(Array.from({ length: cache.count }, (_, i) => cache.read(i)));
    assert.deepEqual(found.map((sample) => sample?.name).sort(), ['p1', 'p2', 'p3', 'p4']);
    await cache.close();
    assert.deepEqual(temporaryIn(folder), []);
  },
};

const keyOf = (i: number): string => String(i).repeat(40);
async function* piecesOf(i: number): AsyncGenerator<Uint8Array, void, void> {
  for (let piece = 0; piece < 3; piece++) yield bytesOf(i);
}
const keep = async (folder: string, i: number): Promise<string | undefined> => {
  await (await writePrepared(folder, piecesOf(i))).keep(keyOf(i), { label: 'model', program: 'x' });
  return usePrepared(folder, keyOf(i));
};

const prepared: Scenario = {
  async work(folder, say) {
    for (let i = 1; i <= 3; i++) if (await orRefused(() => keep(folder, i))) say('kept', String(i));
  },
  async check(folder, said) {
    for (const i of numbersOf(said, 'kept')) assert.ok(await usePrepared(folder, keyOf(i)), `entry ${i} is lost`);
    await prunePrepared({ folder, limit: 1e9 });
    assert.deepEqual(temporaryIn(folder), []);
    for (const { key } of await preparedEntries(folder)) {
      const path = await usePrepared(folder, key);
      const whole = Buffer.concat(Array<Uint8Array>(3).fill(bytesOf(Number(key[0]))));
      if (path !== undefined) assert.ok(readFileSync(path).equals(whole), `entry ${key} is not whole`);
    }
    for (let i = 1; i <= 3; i++) assert.ok(await keep(folder, i), `entry ${i} cannot be kept again`);
  },
};

/** Downloads a file from a server of this process. */
async function fetchTo(folder: string, i: number): Promise<true> {
  const server = createServer((request, response) => {
    const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const rest = bytesOf(i).subarray(from);
    if (from > 0) response.writeHead(206, { 'content-range': `bytes ${from}-49999/50000` });
    response.end(rest);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const digest = createHash('sha256').update(bytesOf(i)).digest('hex');
  const path = join(folder, 'blobs', `file-${i}`);
  const file = { url: `http://127.0.0.1:${port}/x`, path, lock: `${path}.lock`, label: 'x', size: 50_000, digest };
  try {
    await download(file, { pause: 1 });
    return true;
  } finally {
    server.close().closeAllConnections();
  }
}

const downloads: Scenario = {
  async work(folder, say) {
    for (let i = 1; i <= 3; i++) if (await orRefused(() => fetchTo(folder, i))) say('downloaded', String(i));
  },
  async check(folder, said) {
    for (const i of [1, 2, 3]) {
      const path = join(folder, 'blobs', `file-${i}`);
      if (existsSync(path)) assert.ok(readFileSync(path).equals(bytesOf(i)), `file ${i} is not whole`);
      else assert.ok(!numbersOf(said, 'downloaded').includes(i), `file ${i} was downloaded and is lost`);
      await fetchTo(folder, i);
      assert.ok(readFileSync(path).equals(bytesOf(i)));
    }
    await removeHalfWritten(join(folder, 'blobs'));
    // The note of a lock whose holder has ended goes with the next download of that file.
    const kept = readdirSync(join(folder, 'blobs')).filter((name) => !name.endsWith('.lock'));
    assert.deepEqual(kept.sort(), ['file-1', 'file-2', 'file-3']);
  },
};

const picturesOf = (folder: string) =>
  openPictureFolder({ folder: join(folder, 'out'), byOwner: false, now: () => 1_700_000_000_000 });

const outdir: Scenario = {
  async work(folder, say) {
    for (let i = 1; i <= 4; i++) {
      const picture = { owner: 'alice', seed: i, ending: 'png', bytes: bytesOf(i) };
      const name = await orRefused(() => picturesOf(folder).save(picture));
      if (name !== undefined) say('saved', `${i} ${name}`);
    }
  },
  async check(folder, said) {
    const pictures = picturesOf(folder);
    await pictures.save({ owner: 'alice', seed: 9, ending: 'png', bytes: bytesOf(9) });
    for (const line of said.get('saved') ?? []) {
      const [i, name = ''] = line.split(' ');
      assert.deepEqual(await pictures.read('alice', name), bytesOf(Number(i)), `picture ${name} is lost`);
    }
    for (const { name } of await pictures.list('alice', { limit: 100 })) {
      const seed = Number(/-(\d+)\.png$/.exec(name)?.[1]);
      assert.deepEqual(await pictures.read('alice', name), bytesOf(seed), `picture ${name} is not whole`);
    }
  },
};

const options: Scenario = {
  async work(folder, say) {
    const store = await orRefused(() => openOptionsStore(join(folder, 'options.json')));
    for (let i = 1; store && i <= 4; i++)
      if (await orRefused(async () => (await store.set('alice', { number: i })) ?? true)) say('set', String(i));
  },
  async check(folder, said) {
    const damaged: string[] = [];
    const store = await openOptionsStore(join(folder, 'options.json'), (path) => damaged.push(path));
    assert.deepEqual(damaged, []);
    assert.ok(Number(store.get('alice')['number'] ?? 0) >= lastOf(said, 'set'), 'an option is lost');
  },
};

const names = ['model_index.json', 'unet', 'vae'] as const;
const convert = (folder: string): Promise<true> =>
  writeNewFolder(
    join(folder, 'model'),
    async (inside) => {
      for (const [i, name] of names.entries()) await writeNewFile(join(inside, name), [bytesOf(i)]);
    },
    { last: names[0] },
  ).then(() => true);

const folders: Scenario = {
  async work(folder, say) {
    if (await orRefused(() => convert(folder))) say('written', '');
  },
  async check(folder, said) {
    const isWhole = existsSync(join(folder, 'model', names[0]));
    if (said.has('written')) assert.ok(isWhole, 'the folder was written and is lost');
    if (!isWhole) return;
    for (const [i, name] of names.entries())
      assert.ok(readFileSync(join(folder, 'model', name)).equals(bytesOf(i)), `${name} is not whole`);
  },
};

export const keptFiles = { checkpoints, latents, prepared, downloads, outdir, options, folders };
