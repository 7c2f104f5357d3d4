/** Odd input to ComfyUI's routes: the status and the kinds of errors that ComfyUI 0.3.64 gives to the same requests. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { hasMoreNames } from '../../src/server/admission/count-names.ts';
import { startTestServer, type TestServer } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer({ limits: { workflowNames: 1000 } });
});
after(() => server.stop());

const get = async (path: string): Promise<number> => (await fetch(server.url + path)).status;
const post = async (body: string) => {
  const response = await fetch(`${server.url}/prompt`, { method: 'POST', body });
  const answer = (await response.json()) as { readonly error?: { readonly type: string }; readonly prompt_id?: string };
  return { status: response.status, type: answer.error?.type, id: answer.prompt_id };
};
const picture = { class_type: 'EmptyImage', inputs: { width: 8, height: 8, batch_size: 1, color: 0 } };
const graph = (images: unknown) => ({ a: picture, o: { class_type: 'PreviewImage', inputs: { images } } });

test('different names are counted before a body is parsed', () => {
  const count = (json: string): number => {
    let most = 0;
    while (hasMoreNames(Buffer.from(json), most)) most++;
    return most;
  };
  assert.equal(count('["a","b",{}]'), 0);
  assert.equal(count('{"a":1,"b" : {"a":[{"c":"d:"}]}}'), 3);
  assert.equal(count('{"a\\"":1,"a":{"a":":"}}'), 2);
  assert.equal(count('{"a":"\\\\","b":1}'), 2);
});

test('a workflow of very many names is refused before it is parsed', async () => {
  const names = (many: number) => Object.fromEntries(Array.from({ length: many }, (_, i) => [`k${i}`, 1]));
  for (const extra of [
    names(2000),
    { extra_data: names(2000) },
    { prompt: { a: { ...picture, inputs: names(2000) } } },
  ])
    assert.equal((await post(JSON.stringify({ prompt: graph(['a', 0]), ...extra }))).status, 413);
  assert.equal((await post(JSON.stringify({ prompt: graph(['a', 0]), ...names(500) }))).status, 200);
});

test('a prompt of another kind is refused as ComfyUI does', async () => {
  for (const [body, status, type] of [
    ['{}', 400, 'no_prompt'],
    ['[]', 400, 'no_prompt'],
    ['"x"', 400, 'no_prompt'],
    ['{"prompt":[]}', 400, 'prompt_no_outputs'],
    ['{"prompt":{}}', 400, 'prompt_no_outputs'],
    ['{"prompt":null}', 400, 'invalid_prompt'],
    ['{"prompt":"x"}', 400, 'invalid_prompt'],
    ['{"prompt":NaN}', 400, 'invalid_prompt'],
    ['null', 400, 'invalid-argument'],
    ['{"prompt":{},"number":[1]}', 400, 'invalid-argument'],
    ['{"prompt":{},"number":"x"}', 400, 'invalid-argument'],
    ['{"prompt":{},"number":"7"}', 400, 'prompt_no_outputs'],
  ] as const) {
    const found = await post(body);
    assert.deepEqual([found.status, found.type], [status, type], body);
  }
});

test('a value in the place of a link fails in its node, in a line', async () => {
  for (const [value, shown] of [
    ['a', "'a'"],
    [3, '3'],
    [true, 'True'],
    [null, 'None'],
  ] as const) {
    const { id = '' } = await post(JSON.stringify({ prompt: graph(value) }));
    let text = '{}';
    while (text === '{}') text = await (await fetch(`${server.url}/history/${id}`)).text();
    assert.ok(text.includes(`The input images is ${shown}; it must be a link to an output of type IMAGE.`), text);
  }
});

test('counts of the history are whole numbers as Python reads them', async () => {
  for (const count of ['1', '-1', '0', '99999999999', '+1', '1_0', '%201%20'])
    assert.equal(await get(`/history?max_items=${count}`), 200, count);
  for (const count of ['', 'abc', '1.5', '1__0']) assert.equal(await get(`/history?max_items=${count}`), 422, count);
});

test('files are named inside their folders', async () => {
  const upload = async (name: string): Promise<readonly [number, string]> => {
    const form = new FormData();
    form.append('image', new Blob([new Uint8Array([1, 2, 3])]), name);
    const response = await fetch(`${server.url}/upload/image`, { method: 'POST', body: form });
    return [response.status, await response.text()];
  };
  assert.equal((await upload('../x.png'))[0], 400);
  assert.equal((await upload('/etc/x.png'))[0], 400);
  assert.deepEqual(await upload('sub/y.png'), [200, '{"name":"y.png","subfolder":"sub","type":"input"}']);
  assert.equal(await get('/view?filename=y.png&type=input&subfolder=sub'), 200);
  assert.equal(await get('/view?filename='), 400);
  assert.equal(await get('/view'), 404);
  assert.equal(await get('/view?filename=.&type=input'), 404);
});

test('folders of a page are listed as ComfyUI lists them', async () => {
  assert.equal(await get('/userdata?dir=.'), 200);
  assert.equal(await get('/userdata?dir=nope'), 404);
  assert.equal(await get('/v2/userdata?path=..'), 400);
  await fetch(`${server.url}/userdata/f.json`, { method: 'POST', body: 'x' });
  assert.deepEqual(await (await fetch(`${server.url}/userdata?dir=f.json`)).json(), []);
  const response = await fetch(`${server.url}/v2/userdata?path=f.json`);
  assert.deepEqual([response.status, await response.text()], [400, 'Requested path is not a directory']);
});

test('settings longer than those that are kept are not parsed', async () => {
  const body = `{"a":[${'1,'.repeat(600_000)}1]}`;
  for (const path of ['/settings', '/settings/a'])
    assert.equal((await fetch(server.url + path, { method: 'POST', body })).status, 413);
});
