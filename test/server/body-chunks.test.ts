/** Bodies in chunks: small ones are joined, and a body of too many is not read on. */

import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { gateConnections } from '../../src/server/http/connection-gate.ts';

type Handle = (request: IncomingMessage, response: ServerResponse) => void;

/** Sends a body in chunks of one size to a server, and gives its answers until the connection ends. */
async function send(context: TestContext, handle: Handle, bodies: readonly string[], size: number): Promise<string[]> {
  const server = createServer(gateConnections(handle, 16));
  context.after(() => server.close().closeAllConnections());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const answers: string[] = [];
  for (const body of bodies) {
    const chunks: string[] = [];
    for (let at = 0; at < body.length; at += size) {
      const chunk = body.slice(at, at + size);
      chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    }
    const head = 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n';
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data) => {
      answer += String(data);
    });
    socket.on('error', () => {});
    socket.end(`${head}${chunks.join('')}0\r\n\r\n`);
    await new Promise((resolve) => socket.once('close', resolve));
    answers.push(answer);
  }
  return answers;
}

/** Answers with the number of pieces and the text of a body, or with the status of its error. */
const echo: Handle = (request, response) => {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => response.end(`${pieces.length} ${Buffer.concat(pieces).toString()}`));
  request.on('error', (error: Error & { statusCode?: number }) => {
    response.statusCode = error.statusCode ?? 500;
    response.end(error.message);
  });
};

const textOf = (length: number): string => Array.from({ length }, (_, i) => i % 10).join('');

test('small chunks are joined, and large ones stay in their order among them', async (t) => {
  const body = textOf(20_000);
  const [small = ''] = await send(t, echo, [body], 70);
  assert.ok(small.includes(` ${body}`));
  assert.ok(Number(/\n(\d+) 0/.exec(small)?.[1]) < 10, small.slice(0, 200));
  const [large = ''] = await send(t, echo, [textOf(100_000)], 1500);
  assert.ok(large.includes(` ${textOf(100_000)}`));
});

test('a body of thousands of chunks of one byte is refused, and later ones are read', async (t) => {
  const answers = await send(t, echo, ['x'.repeat(9000), textOf(400), textOf(400)], 1);
  assert.match(answers[0] ?? '', /^HTTP\/1\.1 413 /);
  assert.match(answers[0] ?? '', /more than 512 chunks of less than 64 bytes/);
  for (const answer of answers.slice(1)) assert.ok(answer.includes(` ${textOf(400)}`), answer);
});

test('what comes after the answer is counted too', async (t) => {
  const complete: Promise<boolean>[] = [];
  const early: Handle = (request, response) => {
    response.end('early');
    complete.push(new Promise((resolve) => request.socket.on('close', () => resolve(request.complete))));
  };
  await send(t, early, ['x'.repeat(400), 'x'.repeat(60_000)], 1);
  assert.deepEqual(await Promise.all(complete), [true, false]);
});
