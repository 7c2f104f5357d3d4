/** A server with a key, and requests of A1111's API as a client sends them. */

import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import { startTestServer, type TestServer } from './start.ts';

export const headers = { authorization: `Basic ${Buffer.from('user:a-secret-of-bob').toString('base64')}` };
export let server: TestServer;
before(async () => {
  server = await startTestServer({ keys: [{ name: 'bob', secret: 'a-secret-of-bob' }] });
});
after(() => server.stop());

export async function ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const answer = await server.json(method, `/sdapi/v1/${path}`, body, headers);
  assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}
export type Options = Record<string, unknown>;
export interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}
