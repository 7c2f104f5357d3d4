/** What a server says about itself: facts of models that are not loaded, their hashes, the machine; and A1111's requests that it refuses. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import { checkpointFactsAt } from '../../src/model/checkpoint-facts-node.ts';
import { openHashCache } from '../../src/server/models/hash-cache.ts';
import { startTestServer } from './start.ts';

interface ModelRow {
  readonly model_name: string;
  readonly hash: string | null;
  readonly sha256: string | null;
  readonly title: string;
}

test('a model is described without being loaded, as the loaded one describes itself', async () => {
  const facts = await checkpointFactsAt(pocketModel);
  await using model = await loadModel(pocketModel);
  assert.deepEqual(facts, {
    nativeSize: model.nativeSize,
    unit: model.unit,
    hasSafetyChecker: model.networkConfig('safety') !== undefined,
    family: 'Stable Diffusion 1',
    tasks: ['txt2img', 'img2img', 'inpaint'],
    embeddingWidth: 128,
    readsPromptSyntax: model.clipTokenizer !== undefined,
    recommended: model.checkpoint.recommendation?.settings,
  });
});

test('a server with a folder of models: described, hashed in the background, the machine, what is refused', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-described-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['a', 'b', 'c']) {
    copyFileSync(pocketModel, join(folder, `${name}.safetensors`));
    copyFileSync(pocketModel.replace(/\.safetensors$/, '.yaml'), join(folder, `${name}.yaml`));
  }
  const server = await startTestServer({ modelsFolder: folder });
  t.after(() => server.stop());
  const models = async (): Promise<readonly ModelRow[]> => (await server.json('GET', '/sdapi/v1/sd-models')).body;

  await t.test('describing all of them loads none', async () => {
    const { body } = await server.json('GET', '/api/v1/server');
    assert.equal((body as { models: unknown[] }).models.length, 4);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(metrics, /^sd_models_loaded 0$/m);
  });

  await t.test('api/v1/models lists them, with what cannot be used', async () => {
    writeFileSync(join(folder, 'bad.safetensors'), 'x');
    assert.equal((await server.json('POST', '/sdapi/v1/refresh-checkpoints')).status, 200);
    const { status, body } = await server.json('GET', '/api/v1/models');
    assert.equal(status, 200);
    const { models: rows } = body as { models: { name: string; family: string; size: number; unusable: string }[] };
    assert.deepEqual(
      rows.map(({ name, family, size }) => [name, family, size]),
      [
        ...['pocket', 'a', 'b'].map((name) => [name, 'Stable Diffusion 1', 128]),
        ['bad', null, null],
        ['c', 'Stable Diffusion 1', 128],
      ],
    );
    assert.match(rows[3]?.unusable ?? '', /bad\.safetensors/);
    assert.equal(JSON.stringify(rows).includes(tmpdir()), false);
    rmSync(join(folder, 'bad.safetensors'));
    await server.json('POST', '/sdapi/v1/refresh-checkpoints');
  });

  await t.test('every model has its hash after a while, and it is kept', async () => {
    while ((await models()).some(({ hash }) => hash === null)) await new Promise((resolve) => setTimeout(resolve, 20));
    const rows = await models();
    assert.deepEqual(
      rows.map(({ model_name }) => model_name),
      ['pocket', 'a', 'b', 'c'],
    );
    assert.equal(new Set(rows.map(({ sha256 }) => sha256)).size, 1);
    assert.equal(rows[1]?.title, `a.safetensors [${rows[1]?.hash}]`);
    const kept = (): object => JSON.parse(readFileSync(join(server.folder, 'hashes.json'), 'utf8')) as object;
    // The last one is written a moment after it is known.
    while (Object.keys(kept()).length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  await t.test('the machine, without paths', async () => {
    const { status, body } = await server.json('GET', '/internal/sysinfo');
    assert.equal(status, 200);
    const info = body as Record<string, unknown>;
    assert.equal(info['Node'], process.version);
    assert.ok(typeof info['Config'] === 'object' && typeof info['Platform'] === 'string');
    assert.equal(JSON.stringify(info).includes(folder), false);
    assert.equal(JSON.stringify(info).includes(server.folder), false);
  });

  await t.test('interrogate is refused by name; unload drops what nobody uses', async () => {
    const { status, body } = await server.json('POST', '/sdapi/v1/interrogate', { image: '', model: 'clip' });
    assert.equal(status, 404);
    assert.match(JSON.stringify(body), /no network that describes pictures for .*--annotators/);
    const loaded = async (): Promise<string | undefined> =>
      /^sd_models_loaded (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1];
    await server.json('POST', '/sdapi/v1/txt2img', { prompt: 'x', width: 64, height: 64, steps: 1 });
    assert.equal(await loaded(), '1');
    assert.equal((await server.json('POST', '/sdapi/v1/unload-checkpoint')).status, 200);
    assert.equal(await loaded(), '0');
    const again = await server.json('POST', '/sdapi/v1/txt2img', { prompt: 'x', width: 64, height: 64, steps: 1 });
    assert.equal(again.status, 200);
  });
});

test('hashes are kept between runs, and read again where a file has changed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-hashes-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [file, kept] = [join(folder, 'a.bin'), join(folder, 'kept', 'hashes.json')];
  writeFileSync(file, 'abc');
  const abc = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
  const moment = new Date(5000);
  utimesSync(file, moment, moment);
  const first = await openHashCache(kept);
  assert.equal(first.known(file), undefined);
  assert.deepEqual([await first.hash(file), first.known(file), await first.hash(folder)], [abc, abc, null]);
  // What is kept is taken, as long as size and time are the same.
  writeFileSync(file, 'abd');
  utimesSync(file, moment, moment);
  assert.equal(await (await openHashCache(kept)).hash(file), abc);
  utimesSync(file, moment, new Date(1000));
  assert.notEqual(await (await openHashCache(kept)).hash(file), abc);
  await assert.rejects(first.hash(join(folder, 'none')));
  writeFileSync(kept, '{"x": 1}');
  assert.notEqual(await (await openHashCache(kept)).hash(file), abc, 'a damaged file is replaced');
});
