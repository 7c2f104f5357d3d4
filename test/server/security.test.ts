/** Hostile requests: each is refused for what it is, reads nothing of the machine, and leaves the server as it was. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { encodePngChunk, encodePngFile } from '../../src/image/metadata/png-chunks.ts';
import { fetchPicture } from '../../src/server/http/fetch-picture.ts';
import { isPublicAddress } from '../../src/server/http/public-address.ts';
import { defaultLimits } from '../../src/server/limits.ts';
import { base64Png, png, startTestServer, type TestServer, testImage } from './start.ts';

const key = 'a-secret-of-alice';
const folder = mkdtempSync(join(tmpdir(), 'sd-security-'));
const limits = { bodyBytes: 2 ** 20, inputPixels: 512 * 512, requestSeconds: 1 };
let server: TestServer;
let keyed: TestServer;
/** A server of the private network, which nobody may make our server call. */
let inside: Server;
let insideUrl = '';
let calls = 0;

before(async () => {
  mkdirSync(join(folder, 'web'));
  writeFileSync(join(folder, 'web/index.html'), '<title>page</title>');
  writeFileSync(join(folder, 'secret.txt'), 'root:of this machine');
  inside = createServer((_request, response) => {
    calls++;
    response.end('root:of the network');
  });
  await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', resolve));
  insideUrl = `http://127.0.0.1:${(inside.address() as { port: number }).port}`;
  server = await startTestServer({ limits, webFolder: join(folder, 'web'), policy: { fetchUrls: true } });
  keyed = await startTestServer({ keys: [{ name: 'alice', secret: key }], limits });
});
after(async () => {
  await server.stop();
  await keyed.stop();
  inside.close();
  rmSync(folder, { recursive: true, force: true });
});

const alive = async (): Promise<void> => assert.equal((await server.json('GET', '/readyz')).status, 200);
const small = { prompt: 'x', steps: 1, width: 64, height: 64 };

/** Sends bytes as they are, and gives what came back until the server ended the connection. */
function raw(to: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { port } = new URL(to);
    const socket: Socket = connect(Number(port), '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ECONNRESET' || error.code === 'EPIPE' ? resolve(answer) : reject(error),
    );
    socket.on('close', () => resolve(answer));
  });
}

// --- server-side request forgery ---

const privateAddresses = [
  '127.0.0.1',
  '127.9.9.9',
  '0.0.0.0',
  '10.1.2.3',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '192.0.0.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::1',
  '::',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '::127.0.0.1',
  'fe80::1',
  'fc00::1',
  'fd12:3456::1',
  'ff02::1',
  '64:ff9b::7f00:1',
  '64:ff9b:1::1',
  '2002:7f00:1::',
  '2001:0:7f00:1::',
  '2001:db8::1',
  '3fff::1',
  '100::1',
  '::ffff:0:127.0.0.1',
  'fec0::1',
  '5f00::1',
];

test('which addresses are of the public internet', () => {
  for (const address of privateAddresses) assert.equal(isPublicAddress(address), false, address);
  for (const address of [
    '1.1.1.1',
    '8.8.8.8',
    '93.184.216.34',
    '172.32.0.1',
    '2606:4700:4700::1111',
    '2a00:1450:4001::1',
  ])
    assert.equal(isPublicAddress(address), true, address);
  for (const text of ['', 'localhost', '127.1', '0x7f000001', '127.0.0.1%eth0'])
    assert.equal(isPublicAddress(text), false, text);
});

test('no URL leads to a private address, however it is written', async () => {
  const { port } = new URL(insideUrl);
  const hosts = [
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    'localhost',
    'localhost.',
    'LOCALHOST',
    '①②⑦.0.0.1',
    '169.254.169.254',
  ];
  for (const host of hosts) {
    const { status, body } = await server.json('POST', '/sdapi/v1/img2img', {
      ...small,
      init_images: [`http://${host}:${port}/picture.png`],
    });
    assert.ok(status === 403 || status === 422, `${host}: ${status}`);
    assert.equal(JSON.stringify(body).includes('root:'), false);
  }
  for (const url of [
    `http://user:pass@127.0.0.1:${port}/`,
    `http://example.com@127.0.0.1:${port}/`,
    `http://127.0.0.1:${port}#@example.com/`,
    'http://[::1%25lo]/',
    'http://',
    'https://:80',
  ]) {
    assert.ok([403, 422].includes((await server.json('POST', '/api/v1/pictures', { image: url })).status), url);
  }
  for (const url of [
    'file:///etc/passwd',
    'ftp://127.0.0.1/',
    'gopher://127.0.0.1:70/',
    `HTTP:/${insideUrl.slice(6)}`,
    `//127.0.0.1:${port}/`,
    'data:text/html,<p>',
    'blob:x',
  ]) {
    assert.ok([403, 422].includes((await server.json('POST', '/api/v1/pictures', { image: url })).status), url);
    await assert.rejects(fetchPicture(url, { maxBytes: 1000 }), { code: /forbidden|network/ }, url);
  }
  assert.equal(calls, 0, 'nobody was called');
});

test('a name with a private address among its addresses is not called', async () => {
  for (const addresses of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['::ffff:127.0.0.1'], ['fe80::1'], []]) {
    const resolve = async () => addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
    await assert.rejects(
      fetchPicture('http://pictures.example/x.png', { maxBytes: 1000, resolve }),
      { code: 'forbidden' },
      addresses.join(),
    );
  }
  assert.equal(calls, 0);
});

test('a redirect to a private address is not followed; each stop is looked up anew', async () => {
  const { port } = new URL(insideUrl);
  const outside = createServer((request, response) => {
    const to: Record<string, string> = {
      '/private': `${insideUrl}/x.png`,
      '/name': `http://rebound.example:${port}/x.png`,
      '/file': 'file:///etc/passwd',
      '/loop': '/loop',
      '/long': '/endless',
    };
    const location = to[request.url ?? ''];
    if (request.url === '/endless') return void response.write('x'.repeat(5000));
    if (location) response.writeHead(302, { location }).end();
    else response.end('a picture');
  });
  await new Promise<void>((resolve) => outside.listen(0, '127.0.0.2', resolve));
  const at = `http://outside.example:${(outside.address() as { port: number }).port}`;
  // 127.0.0.2 stands for an address of the public internet. A name that pointed there points at the private network the second time.
  const seen: string[] = [];
  const resolve = async (name: string) => {
    seen.push(name);
    return [{ address: name === 'outside.example' ? '127.0.0.2' : '127.0.0.1', family: 4 }];
  };
  const isAllowed = (address: string): boolean => address === '127.0.0.2';
  const read = (path: string) => fetchPicture(at + path, { maxBytes: 1000, resolve, isAllowed });
  assert.equal(Buffer.from(await read('/picture')).toString(), 'a picture');
  await assert.rejects(read('/private'), { code: 'forbidden' });
  await assert.rejects(read('/name'), { code: 'forbidden' });
  await assert.rejects(read('/file'), { code: 'forbidden' });
  await assert.rejects(read('/loop'), { code: 'network' });
  await assert.rejects(read('/long'), { code: 'too-large' });
  assert.ok(seen.includes('rebound.example'));
  assert.equal(calls, 0);
  outside.closeAllConnections();
  outside.close();
});

test('without leave no URL is fetched at all', async () => {
  const { status } = await keyed.json(
    'POST',
    '/api/v1/pictures',
    { image: 'http://1.1.1.1/x.png' },
    { authorization: `Bearer ${key}` },
  );
  assert.equal(status, 403);
});

// --- files of the machine ---

const paths = [
  '../secret.txt',
  '../../../../../../etc/passwd',
  '/etc/passwd',
  '..\\..\\etc\\passwd',
  '%2e%2e%2fsecret.txt',
  '..%2f..%2f..%2fetc%2fpasswd',
  '....//....//etc/passwd',
  'pocket/../../etc/passwd',
  'pocket.safetensors\0.png',
  '/proc/self/environ',
  'file:///etc/passwd',
  '~/.ssh/id_rsa',
];

test('no field names a file', async () => {
  const refused = async (path: string, body: object): Promise<void> => {
    const { status, body: answer } = await server.json('POST', path, body);
    assert.ok(status >= 400 && status < 500, `${path} ${JSON.stringify(body)}: ${status}`);
    assert.equal(/root:|daemon/.test(JSON.stringify(answer)), false);
  };
  for (const name of paths) {
    await refused('/api/v1/jobs', { ...small, model: name });
    await refused('/v1/images/generations', { prompt: 'x', model: name });
    await refused('/sdapi/v1/txt2img', { ...small, override_settings: { sd_model_checkpoint: name } });
    await refused('/sdapi/v1/options', { sd_model_checkpoint: name });
    await refused('/sdapi/v1/img2img', { ...small, init_images: [name] });
    await refused('/sdapi/v1/png-info', { image: name });
    await refused('/api/v1/pictures', { image: name });
    await refused('/api/v1/jobs', { ...small, task: 'img2img', image: name });
    await refused('/sdapi/v1/extra-single-image', { image: name, upscaler_1: 'Lanczos' });
    await refused('/sdapi/v1/txt2img', { ...small, enable_hr: true, hr_upscaler: name });
  }
});

test('no path of a URL leads out of the page and the store', async () => {
  for (const path of paths) {
    for (const begin of ['/', '/assets/', '/api/v1/results/', '/api/v1/jobs/', '/v1/models/', '/static/../', '/./']) {
      const answer = await raw(
        server.url,
        `GET ${begin}${path.replaceAll('\0', '%00').replaceAll(' ', '%20')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
      );
      assert.match(answer, /^HTTP\/1.1 4\d\d/, begin + path);
      assert.equal(/root:|daemon/.test(answer), false, begin + path);
    }
  }
  await alive();
});

test('callers do not see or touch the jobs of others', async () => {
  const two = await startTestServer({
    keys: [
      { name: 'alice', secret: key },
      { name: 'bob', secret: 'a-secret-of-bob' },
    ],
  });
  const [alice, bob] = [{ authorization: `Bearer ${key}` }, { authorization: 'Bearer a-secret-of-bob' }];
  const { body: job } = (await two.json('POST', '/api/v1/jobs', { ...small, steps: 50 }, alice)) as {
    body: { id: string };
  };
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['POST', '/interrupt'],
    ['GET', '/events'],
  ] as const) {
    assert.equal((await two.json(method, `/api/v1/jobs/${job.id}${path}`, undefined, bob)).status, 404, method + path);
    assert.equal((await two.json(method, `/api/v1/jobs/${job.id}${path}`)).status, 401, method + path);
  }
  assert.deepEqual((await two.json('GET', '/api/v1/jobs', undefined, bob)).body, { jobs: [], next: null });
  // The same Idempotency-Key of another caller is another job.
  const mine = (await two.json('POST', '/api/v1/jobs', small, { ...alice, 'idempotency-key': 'k' })) as {
    body: { id: string };
  };
  const others = (await two.json('POST', '/api/v1/jobs', small, { ...bob, 'idempotency-key': 'k' })) as {
    body: { id: string };
  };
  assert.notEqual(mine.body.id, others.body.id);
  await two.json('POST', '/sdapi/v1/interrupt', undefined, bob);
  assert.equal(
    ((await two.json('GET', `/api/v1/jobs/${job.id}`, undefined, alice)).body as { state: string }).state ===
      'cancelled',
    false,
  );
  await two.stop(0);
});

// --- too much ---

test('a body that is too large is refused, told or not', async () => {
  const long = 'x'.repeat(limits.bodyBytes + 1);
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', { prompt: long })).status, 413);
  const claimed = await raw(
    server.url,
    `POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{`,
  );
  assert.match(claimed, /^HTTP\/1.1 413/);
  const chunked = await raw(
    server.url,
    `POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${(limits.bodyBytes + 10).toString(16)}\r\n${' '.repeat(limits.bodyBytes + 10)}\r\n0\r\n\r\n`,
  );
  assert.match(chunked, /^(HTTP\/1.1 413|$)/);
  const form = new FormData();
  form.append('image', new Blob([new Uint8Array(limits.bodyBytes + 1)]), 'a.png');
  assert.equal((await fetch(`${server.url}/api/v1/pictures`, { method: 'POST', body: form })).status, 413);
  await alive();
});

test('a stranger is refused before the body is read', async () => {
  const answer = await raw(
    keyed.url,
    'POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n',
  );
  assert.match(answer, /^HTTP\/1.1 401/);
});

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

test('work that is too much is refused by its numbers', async () => {
  const refused = async (path: string, body: object): Promise<void> => {
    const { status } = await server.json('POST', path, body);
    assert.ok(status === 422 || status === 400 || status === 413, `${path} ${JSON.stringify(body)}: ${status}`);
  };
  for (const body of [
    { steps: defaultLimits.steps + 1 },
    { width: 65536, height: 65536 },
    { batchSize: 33 },
    { iterations: 1e9 },
    { batchSize: 8, iterations: 8 },
    { prompt: 'x'.repeat(10_001) },
    { width: 0 },
    { width: 64.5 },
    { seed: 2 ** 60 },
    { guidanceScale: 1e9 },
    { previews: 1000 },
  ])
    await refused('/api/v1/jobs', { ...small, ...body });
  for (const body of [{ n: 11 }, { size: '99999x99999' }, { size: '0x0' }, { steps: 1e9 }, { partial_images: 9 }])
    await refused('/v1/images/generations', { prompt: 'x', ...body });
  for (const body of [
    { enable_hr: true, hr_scale: 1e6 },
    { enable_hr: true, hr_resize_x: 99999, hr_resize_y: 99999 },
    { subseed_strength: 9 },
    { batch_size: -1 },
    { n_iter: 0 },
    { eta: 1e308 },
    { s_noise: 1e300 },
    { s_churn: 1e300 },
    { seed_resize_from_w: 1e9, seed_resize_from_h: 1e9 },
    { infotext: 'x\nSteps: 5, Sampler: Euler, Seed: 1, Denoising strength: 9, Hires upscale: 2' },
  ])
    await refused('/sdapi/v1/txt2img', { ...small, ...body });
  const image = await base64Png(testImage(64, 64));
  for (const body of [
    { upscaling_resize: 1e6 },
    { upscaling_resize: -1 },
    { resize_mode: 1, upscaling_resize_w: 1e6, upscaling_resize_h: 1e6 },
    { resize_mode: 7 },
  ])
    await refused('/sdapi/v1/extra-single-image', { image, upscaler_1: 'Lanczos', ...body });
  for (const body of [{ mask_blur: 1e9 }, { inpaint_full_res_padding: 1e9 }, { denoising_strength: 7 }])
    await refused('/sdapi/v1/img2img', { ...small, init_images: [image], mask: image, ...body });
});

test('a caller that sends slowly, or not at all, is let go', async () => {
  // Ended by the server, within the limit and its checks; nothing here says how long that is.
  const answers = await Promise.all([
    raw(server.url, ''),
    raw(server.url, 'GET / HTTP/1.1\r\nHost: lo'),
    raw(
      server.url,
      'POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    ),
  ]);
  for (const answer of answers) assert.match(answer, /^(HTTP\/1.1 408|$)/);
  await alive();
});

test('what is no HTTP is answered as such', async () => {
  for (const text of [
    '\0\0\0\0',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\n${'X: yyyyyyyyyyyyyyyy\r\n'.repeat(2000)}\r\n`,
    'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nx',
    'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
  ]) {
    assert.match(await raw(server.url, text), /^(HTTP\/1.1 4\d\d|$)/, text.slice(0, 40));
  }
  await alive();
});
