/** A connection that sends thousands of requests at once is not parsed to its end. */

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import { gateConnections } from '../../src/server/http/connection-gate.ts';

test('the requests behind the first too many are not made', async (t) => {
  const server = createServer(gateConnections(() => {}, 16));
  let made = 0;
  server.on('request', () => made++);
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(5000));
  await new Promise((resolve) => socket.once('close', resolve));
  assert.equal(made, 17);
});
