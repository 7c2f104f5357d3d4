/** A model by its address, as browsers load it: its configuration is found as on disk. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel } from '../../src/model/load-model-web.ts';

const models = join(import.meta.dirname, '../../models');
const weights = readFileSync(join(models, 'pocket.safetensors'));
const yaml = readFileSync(join(models, 'pocket.yaml'), 'utf8');

/** A server of the model, and of its YAML or a page in its place. */
const serve =
  (beside: () => Response): typeof fetch =>
  async (url, init) => {
    if (String(url).endsWith('/models/pocket.yaml')) return beside();
    const [, from = 0, to = 0] = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '') ?? [];
    return new Response(weights.subarray(Number(from), Number(to) + 1), {
      status: 206,
      headers: { 'content-range': `bytes ${from}-${to}/${weights.length}` },
    });
  };

const load = async (beside: () => Response) => {
  await using engine = createNodeEngine({ threads: 1 });
  await using model = await loadModel('http://sd.lan/models/pocket.safetensors', {
    engine,
    request: { fetch: serve(beside) },
  });
  return { assumed: model.checkpoint.assumed, nativeSize: model.nativeSize };
};

test('NAME.yaml beside an address counts', async () => {
  const { nativeSize, assumed } = await load(() => new Response(yaml));
  assert.equal(nativeSize, 128);
  assert.ok(!assumed.some((phrase) => phrase.includes('scale_factor')), assumed.join());
});

test('where it is not there, or a page is sent in its place, what is assumed is said', async () => {
  for (const beside of [
    () => new Response('', { status: 404 }),
    () => new Response('<!doctype html>', { headers: { 'content-type': 'text/html' } }),
  ])
    assert.ok((await load(beside)).assumed.some((phrase) => phrase.includes('scale_factor')));
});

test('what is no address is refused in a line', async () => {
  for (const file of [undefined, null, '', 7, {}, 'models/pocket.safetensors'])
    await assert.rejects(loadModel(file as string), {
      code: 'invalid-argument',
      message: /^The file of a model must be/,
    });
});
