/** Weights in int8 that are kept from one engine to the next: when they are used, when they are not, and what goes first. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { preparedEntries, preparedSettings } from '../../src/engine/prepared-folder-node.ts';
import type { PreparedOptions } from '../../src/engine/prepared-weights-node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { linear } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { convert } from '../../src/tensor/convert.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { weightView } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { sd } from '../cli/run-cli.ts';

const graph = trace({ x: { dtype: 'float32', shape: [1, 3, 64] } }, ({ x }, p) => ({
  y: linear(x, p.get('w', [96, 64]), p.get('b', [96])),
}));
const x = new TorchGenerator(2).randn([1, 3, 64]);

interface Setting {
  readonly folder: string;
  readonly cache: string;
  readonly options: PreparedOptions;
}

function setting(context: TestContext, limit = 1e9): Setting {
  const folder = mkdtempSync(join(tmpdir(), 'sd-prepared-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const cache = join(folder, 'cache');
  return { folder, cache, options: { folder: cache, limit, smallest: 0 } };
}

/** A file with weights of a seed, float16 as most are. */
async function modelFile(folder: string, name: string, seed: number): Promise<string> {
  const generator = new TorchGenerator(seed);
  const tensors = new Map<string, Tensor>([
    ['w', convert(generator.randn([96, 64]), 'float16')],
    ['b', convert(generator.randn([96]), 'float16')],
  ]);
  const entries = Array.from(tensors, ([key, { dtype, shape }]) => ({ name: key, dtype, shape }));
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors(entries, (entry) => tensors.get(entry.name) as Tensor))
    chunks.push(chunk.slice());
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(chunks));
  return path;
}

interface Made {
  readonly y: readonly number[];
  /** Names of the weights that were read from the model's file. */
  readonly read: readonly string[];
}

/** Compiles the network in an engine of its own and runs it. */
async function made(path: string, prepared: PreparedOptions | false): Promise<Made> {
  const read: string[] = [];
  const file = await openWeightsAt(path);
  const source: WeightSource = {
    ...file,
    read(name, signal) {
      read.push(name);
      return file.read(name, signal);
    },
  };
  await using engine = createNodeEngine({ threads: 1, prepared });
  const program = await engine.compile(graph, source, { precision: 'int8' });
  const { y } = await program.run({ x });
  await file.close();
  return { y: Array.from(y?.data ?? [], Number), read };
}

test('the second engine reads no weight of the file, and computes the same', async (context) => {
  const { folder, cache, options } = setting(context);
  const path = await modelFile(folder, 'a.safetensors', 1);
  const without = await made(path, false);
  const first = await made(path, options);
  const second = await made(path, options);
  assert.deepEqual([first.y, second.y], [without.y, without.y]);
  assert.deepEqual([first.read.includes('w'), second.read], [true, []]);
  const [entry, ...others] = await preparedEntries(cache);
  assert.equal(others.length, 0);
  // int8 [64, 96] and its scales and the bias in float32.
  assert.ok(entry && entry.bytes > 64 * 96 + 2 * 4 * 96 && entry.bytes < 64 * 96 + 2 * 4 * 96 + 600);
  assert.deepEqual([entry.label, entry.program], [path, 'stable-diffusion-ts 0.1.0']);
});

test('the key is the content: a changed file is prepared anew, a copy is found once its content is known', async (context) => {
  const { folder, cache, options } = setting(context);
  const path = await modelFile(folder, 'a.safetensors', 1);
  await made(path, options);
  await modelFile(folder, 'a.safetensors', 2);
  const changed = await made(path, options);
  assert.deepEqual(changed.y, (await made(path, false)).y);
  assert.equal((await preparedEntries(cache)).length, 2);
  const copy = await modelFile(folder, 'copy.safetensors', 1);
  assert.deepEqual((await made(copy, options)).y, (await made(copy, false)).y);
  assert.deepEqual((await made(copy, options)).read, []);
  assert.equal((await preparedEntries(cache)).length, 2);
});

test('two engines that prepare the same at once leave one entry and nothing else', async (context) => {
  const { folder, cache, options } = setting(context);
  const path = await modelFile(folder, 'a.safetensors', 1);
  const [one, two] = await Promise.all([made(path, options), made(path, options)]);
  assert.deepEqual(one.y, two.y);
  assert.equal(readdirSync(cache).length, 2, 'an entry and the note of digests');
});

test('entries used longest ago go first, and what is larger than the limit is not kept', async (context) => {
  const { folder, cache, options } = setting(context, 16_000);
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((name, i) => modelFile(folder, name, i)));
  await made(a as string, options);
  await made(b as string, options);
  const entries = await preparedEntries(cache);
  const note = ({ key }: { readonly key: string }): string => join(cache, key, 'entry.json');
  for (const entry of entries) utimesSync(note(entry), 1000, entry.label === a ? 2000 : 1000);
  await made(c as string, options);
  assert.deepEqual(
    Array.from(await preparedEntries(cache), ({ label }) => label),
    [c, a],
  );
  const small = { ...options, folder: join(folder, 'small'), limit: 1000 };
  await made(a as string, small);
  assert.deepEqual(await preparedEntries(small.folder), []);
});

test('a damaged entry, a damaged note and a folder that cannot be written cost nothing but time', async (context) => {
  const { folder, cache, options } = setting(context);
  const path = await modelFile(folder, 'a.safetensors', 1);
  const { y } = await made(path, options);
  const [entry] = await preparedEntries(cache);
  truncateSync(join(cache, entry?.key ?? '', 'weights.safetensors'), 100);
  assert.deepEqual((await made(path, options)).y, y);
  writeFileSync(join(cache, 'files.json'), '{"half');
  assert.deepEqual((await made(path, options)).y, y);
  writeFileSync(join(folder, 'file'), '');
  assert.deepEqual((await made(path, { ...options, folder: join(folder, 'file') })).y, y);
});

test('tensors that are computed are part of the key by their values', async (context) => {
  const { folder, cache, options } = setting(context);
  const path = await modelFile(folder, 'a.safetensors', 1);
  const file = await openWeightsAt(path);
  const halved = (factor: number): WeightSource =>
    weightView(
      'halved',
      Array.from(file.entries.values(), (entry) => ({
        entry: { ...entry, dtype: 'float32' as const },
        async read() {
          const value = convert(await file.read(entry.name), 'float32');
          return { ...value, data: value.data.map((number) => number * factor) };
        },
      })),
      [],
    );
  const results: unknown[] = [];
  for (const factor of [1, 0.5, 1]) {
    await using engine = createNodeEngine({ threads: 1, prepared: options });
    const program = await engine.compile(graph, halved(factor), { precision: 'int8' });
    results.push((await program.run({ x }))['y']?.data);
  }
  await file.close();
  assert.deepEqual(results[0], results[2]);
  assert.notDeepEqual(results[0], results[1]);
  assert.equal((await preparedEntries(cache)).length, 2);
});

test('sd cache lists and clears', async (context) => {
  const { folder, cache, options } = setting(context);
  const environment = { SD_CACHE: cache, SD_CACHE_LIMIT: '0.5' };
  assert.equal((await sd(['cache'], { environment })).out, `Nothing is kept in ${cache}.\n`);
  const path = await modelFile(folder, 'a.safetensors', 1);
  await made(path, options);
  const listed = await sd(['cache'], { environment });
  assert.match(
    listed.out,
    /^ {4}0\.0 MB {2}\d{4}-\d\d-\d\dT\d\d:\d\dZ {2}\S+a\.safetensors\n0\.0 MB of at most 500\.0 MB in /,
  );
  const { entries } = JSON.parse((await sd(['cache', '--json'], { environment })).out) as {
    readonly entries: readonly { readonly label: string }[];
  };
  assert.deepEqual(
    Array.from(entries, ({ label }) => label),
    [path],
  );
  assert.equal((await sd(['cache', 'clear'], { environment })).code, 0);
  assert.deepEqual(readdirSync(cache), []);
  assert.equal((await sd(['cache', 'all'], { environment })).code, 2);
});

test('the folder and the limit come from the environment', () => {
  const home = { HOME: '/nowhere' };
  assert.deepEqual(preparedSettings({ ...home, XDG_CACHE_HOME: '/caches' }), {
    folder: join('/caches', 'stable-diffusion-ts', 'prepared'),
    limit: 16e9,
  });
  assert.deepEqual(preparedSettings({ SD_CACHE: '/own', SD_CACHE_LIMIT: '0' }), { folder: '/own', limit: 0 });
  assert.throws(() => preparedSettings({ SD_CACHE_LIMIT: 'much' }), { code: 'invalid-argument' });
});
