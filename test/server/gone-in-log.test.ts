/** What the log says of a request that ends in an error: an error of the server, and nothing where the caller went away. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ServerContext } from '../../src/server/context.ts';
import { createProblemAnswer } from '../../src/server/http/add-routes.ts';

/** Status of the answer, and the errors in the log. */
async function answered(error: unknown, hasGone: boolean): Promise<{ status: number; logged: unknown[] }> {
  const logged: unknown[] = [];
  let status = 0;
  const reply = {
    raw: { destroyed: hasGone },
    header: () => reply,
    type: () => reply,
    send: async () => {},
    code(value: number) {
      status = value;
      return reply;
    },
  };
  const request = {
    url: '/api/v1/results/a.png',
    headers: {},
    log: { error: ({ err }: { readonly err: unknown }) => logged.push(err) },
  };
  const answer = createProblemAnswer({ base: '' } as ServerContext);
  await answer(error, request as unknown as FastifyRequest, reply as unknown as FastifyReply);
  return { status, logged };
}

test('a caller that went away leaves no error in the log; what else fails does', async () => {
  const gone = AbortSignal.abort().reason as unknown;
  const fault = new Error('a fault');
  assert.deepEqual(await answered(gone, true), { status: 500, logged: [] });
  assert.deepEqual(await answered(gone, false), { status: 500, logged: [gone] });
  assert.deepEqual(await answered(fault, true), { status: 500, logged: [fault] });
});
