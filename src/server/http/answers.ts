/** Handles a request around its route: validates fields, watches the client, sends the answer. */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type * as z from 'zod';
import type { Ticket } from '../admission/in-flight.ts';
import { eventStream } from './event-stream.ts';
import { type Problem, problemOf, validationProblem } from './problem.ts';
import type { Answer } from './route.ts';

/** Fires when the client has gone before it was answered. */
export function clientSignal(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const gone = (): void => {
    if (!reply.raw.writableFinished) controller.abort();
  };
  // It may have gone while its body was read. `inject` of tests has no socket.
  if (request.raw.socket?.destroyed) gone();
  // On the answer alone: a connection lives on, and so would its listeners.
  reply.raw.once('close', gone);
  return controller.signal;
}

/** Answers are their caller's: no cache on the way keeps them. */
const unshared = { 'cache-control': 'no-store' };

/** Bytes from which on a client must go on reading. */
const largeAnswer = 2 ** 20;

/** Counts an answer before it is sent, and lets its client go once it has read nothing for so many seconds. Throws `busy`. */
function hold(reply: FastifyReply, bytes: number, { ticket, seconds }: Holding): void {
  ticket.answer(bytes);
  const { socket } = reply.raw;
  // `inject` of tests has no socket with a clock.
  if (bytes > largeAnswer && socket && 'setTimeout' in socket) socket.setTimeout(1000 * seconds);
}

export interface Holding {
  readonly ticket: Ticket;
  readonly seconds: number;
}

export function sendAnswer(reply: FastifyReply, answer: Answer, holding: Holding): FastifyReply {
  if ('json' in answer) {
    const text = JSON.stringify(answer.json ?? null);
    hold(reply, text.length, holding);
    // The bytes, as Fastify sends neither null nor text as JSON by itself.
    return reply
      .code(answer.status ?? 200)
      .headers({ ...unshared, ...answer.headers })
      .type('application/json; charset=utf-8')
      .send(text);
  }
  if ('text' in answer) {
    const { text, status, headers = {} } = answer;
    hold(reply, text.length, holding);
    reply.code(status).headers({ ...unshared, ...headers });
    return text === '' ? reply.send() : reply.type('text/plain; charset=utf-8').send(text);
  }
  if ('bytes' in answer) {
    hold(reply, answer.bytes.length, holding);
    return reply
      .code(answer.status ?? 200)
      .headers(answer.headers ?? {})
      .type(answer.mediaType)
      .send(Buffer.from(answer.bytes.buffer, answer.bytes.byteOffset, answer.bytes.byteLength));
  }
  return reply
    .headers({ ...unshared, 'x-accel-buffering': 'no' })
    .type('text/event-stream')
    .send(eventStream(answer.events));
}

class Invalid extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

export function checkPart(place: 'body' | 'query' | 'path', schema: z.ZodType | undefined, value: unknown): unknown {
  if (!schema) return undefined;
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Invalid(validationProblem(place, result.error));
}

export const problemIn = (error: unknown): Problem => (error instanceof Invalid ? error.problem : problemOf(error, 1));
