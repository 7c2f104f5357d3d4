/** The Redis channel through which servers and workers exchange steps, states and controls. Foreign messages are ignored. */

import type { Redis } from 'ioredis';
import * as z from 'zod';
import { jobStates } from '../job.ts';
import type { JobControl, JobControlListener, JobEvent, JobEventListener } from '../job-event.ts';

export type Message =
  | { readonly event: JobEvent }
  | { readonly control: JobControl; readonly id: string }
  | { readonly wake: true };

/** The fields that listeners rely on; messages of other versions or programs are rejected. */
const messageSchema = z.union([
  z.object({
    event: z.discriminatedUnion('kind', [
      z.looseObject({
        kind: z.literal('state'),
        id: z.string(),
        job: z.looseObject({
          id: z.string(),
          owner: z.string(),
          state: z.enum(jobStates),
          createdAt: z.number(),
          request: z.union([
            z.looseObject({ prompts: z.array(z.string()) }),
            z.looseObject({ task: z.literal('workflow'), prompt: z.string() }),
          ]),
        }),
      }),
      z.looseObject({ kind: z.literal('step'), id: z.string(), done: z.number(), total: z.number() }),
      z.looseObject({ kind: z.literal('preview'), id: z.string(), data: z.string() }),
      z.looseObject({ kind: z.literal('workflow'), id: z.string(), message: z.looseObject({ kind: z.string() }) }),
    ]),
  }),
  z.object({ control: z.enum(['cancel', 'interrupt', 'skip', 'watch', 'free']), id: z.string() }),
  z.object({ wake: z.literal(true) }),
]);

function readMessage(body: string): Message | undefined {
  try {
    const read = messageSchema.safeParse(JSON.parse(body));
    return read.success ? (read.data as unknown as Message) : undefined;
  } catch {
    return undefined;
  }
}

export class RedisChannel {
  readonly listeners = new Set<JobEventListener>();
  readonly controllers = new Set<JobControlListener>();
  readonly wakers = new Set<() => void>();
  readonly #publisher: Redis;
  readonly #name: string;
  readonly #onError: (error: Error) => void;

  /** Listens on one connection, which is then blocked for other commands, and publishes on the other. */
  static async open(
    subscriber: Redis,
    publisher: Redis,
    name: string,
    onError: (error: Error) => void,
  ): Promise<RedisChannel> {
    const channel = new RedisChannel(publisher, name, onError);
    subscriber.on('message', (_channel, body) => channel.#receive(body));
    await subscriber.subscribe(name);
    return channel;
  }

  private constructor(publisher: Redis, name: string, onError: (error: Error) => void) {
    this.#publisher = publisher;
    this.#name = name;
    this.#onError = onError;
  }

  tell(message: Message): void {
    this.#publisher.publish(this.#name, JSON.stringify(message)).catch(this.#onError);
  }

  wake(): void {
    for (const waker of [...this.wakers]) waker();
  }

  #receive(body: string): void {
    const message = readMessage(body);
    if (!message) {
      this.#onError(new Error(`A message on ${this.#name} is not one of this program: ${body.slice(0, 100)}`));
      return;
    }
    if ('event' in message) for (const listener of this.listeners) listener(message.event);
    else if ('control' in message) for (const controller of this.controllers) controller(message.id, message.control);
    else this.wake();
  }
}
