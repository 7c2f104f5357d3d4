/** Bodies of a hostile caller: broken forms, deep JSON, pictures that unpack to gigabytes. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { encodePngChunk, encodePngFile } from '../../src/image/metadata/png-chunks.ts';
import { png, type TestServer, testImage } from './start.ts';
import { raw, type SecurityServers, startSecurityServers } from './security-setup.ts';

let servers: SecurityServers;
let server: TestServer;

before(async () => {
  servers = await startSecurityServers();
  ({ server } = servers);
});
after(() => servers.stop());

const alive = async (): Promise<void> => assert.equal((await server.json('GET', '/readyz')).status, 200);

test('forms of too many parts, broken forms, deep and strange JSON', async () => {
  const boundary = (body: string, type = 'multipart/form-data; boundary=x'): Promise<string> =>
    raw(
      server.url,
      `POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  const part = (name: string): string => `--x\r\nContent-Disposition: form-data; name="${name}"\r\n\r\nvalue\r\n`;
  for (const body of [
    '',
    '--x',
    '--x--\r\n',
    `${part('prompt')}`,
    `${Array.from({ length: 500 }, (_, i) => part(`f${i}`)).join('')}--x--\r\n`,
    `${part('__proto__')}--x--\r\n`,
    `--x\r\nContent-Disposition: form-data; name="image"; filename="../../x"\r\nContent-Type: a/b\r\n\r\nGIF\r\n--x--\r\n`,
  ]) {
    assert.match(await boundary(body), /^HTTP\/1.1 4\d\d/, body.slice(0, 100));
  }
  assert.match(await boundary('x', 'multipart/form-data'), /^HTTP\/1.1 4\d\d/);
  const post = (body: string): Promise<Response> =>
    fetch(`${server.url}/sdapi/v1/txt2img`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  for (const body of [
    '['.repeat(200_000),
    `{"steps":0,"x":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`,
    '{"__proto__":{"steps":1},"steps":"x"}',
    '{"constructor":{"prototype":{"x":1}},"width":-1}',
    'null',
    '"x"',
    '1e999',
    '\u0000',
    '{"prompt":"\ud800"',
    '{"alwayson_scripts":[[[[]]]]}',
    '{"steps":1e400}',
    '{"seed":99999999999999999999999}',
  ]) {
    // More values than a body may have are counted before it is parsed.
    const expected = body.length > 10_000 ? 413 : 422;
    assert.equal((await post(body)).status, expected, body.slice(0, 60));
  }
  assert.equal(({} as Record<string, unknown>)['steps'], undefined);
  assert.equal(
    (
      await fetch(`${server.url}/sdapi/v1/txt2img`, {
        method: 'POST',
        headers: { 'content-type': 'text/xml' },
        body: '<x/>',
      })
    ).status >= 400,
    true,
  );
  await alive();
});

test('what is kept or sent back is neither deep nor long; a nameless part, and a field that would be cut, are refused', async () => {
  const deep = `${'['.repeat(8_000)}${']'.repeat(8_000)}`;
  const post = async (path: string, body: string): Promise<number> =>
    (await fetch(`${server.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body }))
      .status;
  for (const field of ['script_args', 'styles', 'comments', 'override_settings', 'alwayson_scripts'])
    assert.equal(await post('/sdapi/v1/txt2img', `{"steps":1,"width":64,"height":64,"${field}":${deep}}`), 422, field);
  for (const value of [
    `{"hidden_tabs":${deep}}`,
    JSON.stringify({ hidden_tabs: ['x'.repeat(20_000)] }),
    JSON.stringify({ outdir_samples: 'x'.repeat(20_000) }),
  ])
    assert.equal(await post('/sdapi/v1/options', value), 422);
  assert.equal((await server.json('GET', '/sdapi/v1/options')).status, 200, 'nobody spoils the options');
  const form = async (part: string): Promise<number> =>
    (
      await fetch(`${server.url}/v1/images/edits`, {
        method: 'POST',
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
        body: `--x\r\nContent-Disposition: form-data${part}\r\n--x--\r\n`,
      })
    ).status;
  assert.equal(await form('\r\n\r\nvalue'), 400);
  assert.equal(await form(`; name="prompt"\r\n\r\n${'x'.repeat(2 ** 20 - 300)}`), 400, 'no picture');
  await alive();
});

test('decompression bombs: pictures, texts in pictures, compressed bodies', async () => {
  const header = (width: number, height: number): Uint8Array => {
    const data = new DataView(new ArrayBuffer(13));
    data.setUint32(0, width);
    data.setUint32(4, height);
    data.setUint8(8, 8);
    data.setUint8(9, 2);
    return encodePngChunk('IHDR', new Uint8Array(data.buffer));
  };
  const file = (...chunks: Uint8Array[]): string =>
    Buffer.from(encodePngFile([...chunks, encodePngChunk('IEND', new Uint8Array())])).toString('base64');
  const zeros = deflateSync(Buffer.alloc(200 * 2 ** 20), { level: 9 });
  const send = async (image: string): Promise<number> =>
    (await server.json('POST', '/api/v1/pictures', { image })).status;
  assert.equal(await send(file(header(30_000, 30_000), encodePngChunk('IDAT', zeros))), 413, 'large by its header');
  assert.equal(await send(file(header(0xffffffff, 0xffffffff), encodePngChunk('IDAT', zeros))), 413);
  assert.ok(
    [201, 422].includes(await send(file(header(8, 8), encodePngChunk('IDAT', zeros)))),
    'larger than its header says',
  );
  const text = Buffer.concat([Buffer.from('parameters\0\0'), zeros]);
  const source = Buffer.from(await png(testImage(8, 8)));
  const withText = Buffer.concat([
    source.subarray(0, 33),
    encodePngChunk('zTXt', new Uint8Array(text)),
    source.subarray(33),
  ]).toString('base64');
  const memory = process.memoryUsage().rss;
  const { status, body } = await server.json('POST', '/sdapi/v1/png-info', { image: withText });
  assert.equal(status, 200);
  assert.equal((body as { info: string }).info, '', 'a text of 200 MB is left out');
  assert.ok(process.memoryUsage().rss - memory < 150 * 2 ** 20, 'and was never in memory');
  const gif = Buffer.from('474946383961ffffffff800000000000ffffff2c00000000ffffffff0002024c01003b', 'hex').toString(
    'base64',
  );
  assert.equal(await send(gif), 413);
  const packed = await fetch(`${server.url}/sdapi/v1/txt2img`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    body: gzipSync(Buffer.alloc(100 * 2 ** 20)),
  });
  assert.ok(packed.status >= 400 && packed.status < 500, `a compressed body: ${packed.status}`);
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>').toString(
    'base64',
  );
  assert.equal(await send(svg), 422);
  await alive();
});
