/** Addresses that a caller names: none leads to a private network. */

import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import test, { after, before } from 'node:test';
import { fetchPicture } from '../../src/server/http/fetch-picture.ts';
import { isPublicAddress } from '../../src/files/public-address-node.ts';
import type { TestServer } from './start.ts';
import { key, small, type SecurityServers, startSecurityServers } from './security-setup.ts';

let servers: SecurityServers;
let server: TestServer;
let keyed: TestServer;
/** A server of the private network, which nobody may make our server call. */
let inside: Server;
let insideUrl = '';
let calls = 0;

before(async () => {
  inside = createServer((_request, response) => {
    calls++;
    response.end('root:of the network');
  });
  await new Promise<void>((resolve) => inside.listen(0, '127.0.0.1', resolve));
  insideUrl = `http://127.0.0.1:${(inside.address() as { port: number }).port}`;
  servers = await startSecurityServers();
  ({ server, keyed } = servers);
});
after(async () => {
  await servers.stop();
  inside.close();
});

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
  '2000::1%lo',
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

test('a redirect to a private address is not followed; the address of every redirect is resolved again', async () => {
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
