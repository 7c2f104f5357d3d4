/** A hub that is hostile: where it leads, what it sends, how it names its files. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { StableDiffusionError } from '../../src/errors.ts';
import { guardedFetch } from '../../src/hub/guarded-fetch-node.ts';
import { download } from '../../src/hub/download-node.ts';
import { hubSettings } from '../../src/hub/hub-settings.ts';
import { parseModelName } from '../../src/hub/model-name.ts';
import { modelPath } from '../../src/hub/pull-node.ts';
import { commit } from './stub-hub.ts';

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

async function hostile(context: TestContext, handle: Handle, environment: Readonly<Record<string, string>> = {}) {
  const home = mkdtempSync(join(tmpdir(), 'sd-hostile-'));
  const server = createServer(handle);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.close().closeAllConnections();
    rmSync(home, { recursive: true, force: true });
  });
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const settings = hubSettings(
    {
      HF_ENDPOINT: address,
      CIVITAI_ENDPOINT: address,
      HF_HOME: join(home, 'hf'),
      XDG_CACHE_HOME: home,
      ...environment,
    },
    home,
  );
  const pull = (name: string): Promise<string> => modelPath(name, { settings, pause: 1 });
  return { home, address, pull };
}

const code =
  (...codes: readonly string[]) =>
  (error: StableDiffusionError): boolean =>
    codes.includes(error.code);

/** A hub of one file, of which it says what it likes. */
const hubOf =
  (file: Readonly<Record<string, unknown>>, send: Handle): Handle =>
  (request, response) => {
    const url = request.url ?? '';
    if (url.includes('/revision/')) response.end(JSON.stringify({ sha: commit }));
    else if (url.includes('/tree/')) response.end(JSON.stringify([{ type: 'file', ...file }]));
    else send(request, response);
  };
const etag = '0'.repeat(40);

test('a public hub leads neither to private addresses, nor from https to http, nor to other schemes', async () => {
  const redirecting =
    (location: string): typeof fetch =>
    async () =>
      new Response(null, { status: 302, headers: { location } });
  const ask = (from: string, location: string): Promise<Response> =>
    guardedFetch(redirecting(location), from, { headers: {}, signal: AbortSignal.timeout(5000) });
  for (const location of [
    'http://127.0.0.1:6379/',
    'https://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://1.1.1.1/',
    'file:///etc/passwd',
    'ftp://1.1.1.1/x',
    'https://8.8.8.8/again',
  ])
    await assert.rejects(ask('https://8.8.8.8/x', location), code('forbidden'), location);
});

test('a name that is public when it is checked and private when it is connected to is not followed', async (t) => {
  let asked = 0;
  const { address } = await hostile(t, (_, response) => response.end(String(++asked)));
  const { port } = new URL(address);
  const rebinding = () => {
    let lookups = 0;
    return async () => [{ address: lookups++ === 0 ? '8.8.4.4' : '127.0.0.1', family: 4 }];
  };
  const signal = AbortSignal.timeout(5000);
  const ask = (url: string) =>
    guardedFetch(undefined, url, { headers: {}, signal, from: 'http://8.8.8.8/', resolve: rebinding() });
  await assert.rejects(ask(`http://rebinding.example:${port}/`), code('forbidden'));
  await assert.rejects(ask(`http://127.0.0.1:${port}/`), code('forbidden'));
  assert.equal(asked, 0);
});

test('a list of a public server names no files in private networks', async (t) => {
  const version = {
    id: 1,
    name: 'x',
    files: [{ name: 'a.safetensors', downloadUrl: 'http://127.0.0.1:1/a.safetensors', hashes: {}, type: 'Model' }],
  };
  const ask = (async () => new Response(JSON.stringify(version))) as typeof fetch;
  const home = mkdtempSync(join(tmpdir(), 'sd-hostile-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const settings = { ...hubSettings({ CIVITAI_ENDPOINT: 'https://8.8.8.8', XDG_CACHE_HOME: home }, home), fetch: ask };
  await assert.rejects(modelPath('civitai:1', { settings, pause: 1 }), code('forbidden'));
});

test('a key goes to nobody but the hub itself', async () => {
  const seen: [string, string | null][] = [];
  const ask = (async (url, init) => {
    seen.push([String(url), new Headers(init?.headers).get('authorization')]);
    return String(url).startsWith('https://8.8.8.8')
      ? new Response(null, { status: 302, headers: { location: 'https://9.9.9.9/file' } })
      : new Response('x');
  }) as typeof fetch;
  const headers = { authorization: 'Bearer secret' };
  await guardedFetch(ask, 'https://8.8.8.8/x', { headers, signal: AbortSignal.timeout(5000) });
  assert.deepEqual(seen, [
    ['https://8.8.8.8/x', 'Bearer secret'],
    ['https://9.9.9.9/file', null],
  ]);
});

test("the next page of a list is the hub's own, though its name begins as the hub's", async (t) => {
  const asked: string[] = [];
  const { pull, address } = await hostile(t, (request, response) => {
    asked.push(request.url ?? '');
    if (request.url?.includes('/revision/')) return response.end(JSON.stringify({ sha: commit }));
    return response.writeHead(200, { link: `<${address}.evil.example/next>; rel="next"` }).end('[]');
  });
  await assert.rejects(pull('hf:org/model'), code('not-found'));
  assert.equal(asked.length, 2);
});

test('a list that unpacks to gigabytes is not read to its end', async (t) => {
  const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20, 0x20));
  const { pull } = await hostile(t, (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb));
  await assert.rejects(pull('hf:org/model'), code('too-large'));
});

test('names that leave the folder are no files', async (t) => {
  for (const path of [
    '../../evil.safetensors',
    '/etc/evil.safetensors',
    'a\\..\\evil.safetensors',
    'a/./b.safetensors',
  ]) {
    const { pull, home } = await hostile(
      t,
      hubOf({ path, size: 4, oid: etag }, (_, response) => response.end('evil')),
    );
    await assert.rejects(pull('hf:org/model'), code('not-found'));
    assert.ok(!readdirSync(home, { recursive: true, encoding: 'utf8' }).some((name) => name.includes('evil')));
  }
});

test('a digest that is a path is no digest', async (t) => {
  const { pull } = await hostile(
    t,
    hubOf({ path: 'a.safetensors', size: 4, oid: '../../../evil' }, (_, r) => r.end('evil')),
  );
  await assert.rejects(pull('hf:org/model'), code('not-found'));
});

test('more bytes than announced, fewer, others: nothing is kept under the name', async (t) => {
  const sends: readonly Handle[] = [
    (_, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(65_536)), 1);
      response.on('close', () => clearInterval(timer));
    },
    (_, response) => response.end('ab'),
    (_, response) => response.end('evil'),
    (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(2 ** 24))),
  ];
  for (const send of sends) {
    const { pull, home } = await hostile(t, hubOf({ path: 'a.safetensors', size: 4, oid: etag }, send));
    await assert.rejects(pull('hf:org/model'), code('file-corrupt', 'network'));
    const kept = readdirSync(home, { recursive: true, encoding: 'utf8' });
    assert.ok(!kept.some((name) => name.endsWith('a.safetensors') || name.endsWith(etag)), kept.join());
  }
});

test('a file that the disk cannot hold is refused before its first byte', async (t) => {
  const { address, pull, home } = await hostile(t, (request, response) =>
    request.url?.endsWith('.yaml')
      ? response.writeHead(404).end()
      : response.writeHead(200, { 'content-length': String(2 ** 37) }).write('x'),
  );
  await assert.rejects(pull(`${address}/model.safetensors`), /has room for \d+ bytes, and .* needs 137438953472/);
  assert.ok(
    !readdirSync(home, { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('model.safetensors')),
  );
});

test('a partial download that is a link does not write to where it leads', async (t) => {
  const { address, home } = await hostile(t, (_, response) => response.end('evil'));
  writeFileSync(join(home, 'victim'), '');
  symlinkSync('victim', join(home, 'file.sd.incomplete'));
  const file = { url: `${address}/x`, path: join(home, 'file'), lock: join(home, '.lock'), label: 'x' };
  await assert.rejects(download(file, {}), /file\.sd\.incomplete is a link/);
  assert.equal(readFileSync(join(home, 'victim'), 'utf8'), '');
});

test('the host that names a file is looked up once', async () => {
  const asked: string[] = [];
  const resolve = async (host: string) => {
    asked.push(host);
    return [{ address: '1.1.1.1', family: 4 }];
  };
  const ask: typeof fetch = async () => new Response('x');
  const options = { headers: {}, signal: AbortSignal.timeout(5000), resolve, from: 'https://hub.example/list' };
  await guardedFetch(ask, 'https://files.example/x', options);
  assert.deepEqual(asked, ['hub.example', 'files.example']);
});

test('addresses whose last part is no name', async (t) => {
  const { address, pull, home } = await hostile(t, (_, response) => response.end('weights'));
  for (const path of ['a%2F..', 'a%2F.', `${'x'.repeat(400)}.safetensors`, 'a%5C..%5Cb.safetensors'])
    assert.ok((await pull(`${address}/${path}`)).startsWith(join(home, 'stable-diffusion-ts/addresses/')), path);
  await assert.rejects(pull(`${address}/%E0%A4.safetensors`), code('invalid-argument'));
  assert.throws(() => parseModelName('https://huggingface.co/a/b/resolve/%ff/c'), code('invalid-argument'));
});

test("Civitai's key is not sent where its answer points to", async (t) => {
  const keys: (string | undefined)[] = [];
  const other = createServer((request, response) => {
    keys.push(request.headers.authorization);
    response.end('weights');
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  t.after(() => other.close().closeAllConnections());
  const downloadUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}/x`;
  const version = (url: string, name = 'a.safetensors'): string =>
    JSON.stringify({ id: 1, name: 'x', files: [{ name, type: 'Model', downloadUrl: url }] });
  const secret = { CIVITAI_TOKEN: 'secret' };
  const { pull } = await hostile(t, (_, response) => response.end(version(downloadUrl)), secret);
  assert.ok(existsSync(await pull('civitai:1')));
  assert.deepEqual(keys, [undefined]);
  for (const answer of [version('file:///etc/passwd'), version(downloadUrl, '../../evil.safetensors')]) {
    const other = await hostile(t, (_, response) => response.end(answer), secret);
    await assert.rejects(other.pull('civitai:2'), code('network', 'not-found'));
  }
});
