/**
 * Webhooks: when a job ends, its view is posted to the address that its caller gave, signed as the Standard Webhooks specification
 * (standardwebhooks.com, 1.0.0) says. Bounded in every way: tries, time, answers read, calls at once, calls that wait.
 */

import { createHmac } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { StableDiffusionError } from '../errors.ts';
import type { Resolve } from '../files/guarded-lookup-node.ts';
import { checkUrl, guardedRequest } from './http/guarded-request.ts';

export interface WebhookCall {
  /** Whose job it is: each caller has calls of its own that wait. */
  readonly owner: string;
  readonly url: string;
  /** The same for every try of one event. */
  readonly id: string;
  readonly body: unknown;
}

export interface WebhookOptions {
  readonly secret: string | Uint8Array;
  /** Calls to private networks and to this machine too. */
  readonly allowsPrivate: boolean;
  readonly onFailure: (call: WebhookCall, error: unknown) => void;
  readonly now?: () => number;
  /** For tests. */
  readonly resolve?: Resolve;
  readonly pauses?: readonly number[];
}

export interface Webhooks {
  /** Posts in the background. */
  send(call: WebhookCall): void;
  /** Gives calls under way up. */
  stop(): Promise<void>;
}

/** Milliseconds between tries: about two hours in all. */
const usualPauses = [5_000, 60_000, 600_000, 3_600_000];
const timeout = 10_000;
const mostAtOnce = 8;
/** Of one caller. A receiver that answers slowly, or never, keeps nobody else's waiting. */
const mostAtOnceOfOne = 2;
/** Of one caller, those between two tries too. */
const mostWaitingOfOne = 500;

/** Checks an address before a job is accepted. Throws `forbidden`, `invalid-argument`. */
export function checkWebhook(text: string): void {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new StableDiffusionError('invalid-argument', 'A webhook is a URL such as https://example.org/done.', {
      cause,
    });
  }
  checkUrl(url);
}

/** `v1,` and the HMAC-SHA256 of id, time and body in base64. */
export function webhookSignature(secret: string | Uint8Array, id: string, seconds: number, body: string): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`;
}

interface Attempt {
  readonly call: WebhookCall;
  /** Tries before this one. */
  readonly tries: number;
}

interface Caller {
  readonly waiting: Attempt[];
  active: number;
  pausing: number;
}

/** Throws `forbidden`, `network`, and errors of the connection. */
async function postOnce(
  { url, id, body }: WebhookCall,
  { secret, allowsPrivate, now = Date.now, resolve }: WebhookOptions,
  stopping: AbortSignal,
): Promise<void> {
  const text = JSON.stringify(body);
  const seconds = Math.floor(now() / 1000);
  const { status } = await guardedRequest(
    new URL(url),
    {
      method: 'POST',
      body: text,
      headers: {
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(text)),
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': webhookSignature(secret, id, seconds, text),
      },
      maxBytes: 65_536,
      what: 'webhook',
      resolve,
      ...(allowsPrivate ? { isAllowed: () => true } : {}),
    },
    AbortSignal.any([stopping, AbortSignal.timeout(timeout)]),
  );
  // Redirects are not followed: the caller gives the address itself.
  if (status < 200 || status > 299)
    throw new StableDiffusionError('network', `The webhook answered with status ${status}.`);
}

export function createWebhooks(options: WebhookOptions): Webhooks {
  const { onFailure, pauses = usualPauses } = options;
  const stopping = new AbortController();
  const callers = new Map<string, Caller>();
  const active = new Set<Promise<void>>();
  const pausing = new Set<Promise<unknown>>();

  const post = (call: WebhookCall): Promise<void> => postOnce(call, options, stopping.signal);
  /** One try. A call that is to be tried again waits outside of the places for calls under way. */
  const attempt = async (caller: Caller, { call, tries }: Attempt): Promise<void> => {
    try {
      await post(call);
    } catch (error) {
      const pause = pauses[tries];
      const isRefused = error instanceof StableDiffusionError && error.code === 'forbidden';
      if (pause === undefined || isRefused || stopping.signal.aborted) return onFailure(call, error);
      caller.pausing++;
      const paused = wait(pause, undefined, { signal: stopping.signal, ref: false })
        .then(
          () => caller.waiting.push({ call, tries: tries + 1 }),
          () => onFailure(call, error),
        )
        .finally(() => {
          caller.pausing--;
          pausing.delete(paused);
          next();
        });
      pausing.add(paused);
    }
  };
  const next = (): void => {
    for (const [owner, caller] of callers) {
      if (active.size >= mostAtOnce || stopping.signal.aborted) return;
      if (caller.waiting.length + caller.active + caller.pausing === 0) callers.delete(owner);
      const begun = caller.active < mostAtOnceOfOne ? caller.waiting.shift() : undefined;
      if (!begun) continue;
      // Who had a turn goes behind the others.
      callers.delete(owner);
      callers.set(owner, caller);
      caller.active++;
      const work = attempt(caller, begun).finally(() => {
        caller.active--;
        active.delete(work);
        next();
      });
      active.add(work);
    }
  };
  return {
    send(call) {
      const caller = callers.get(call.owner) ?? { waiting: [], active: 0, pausing: 0 };
      if (caller.waiting.length + caller.pausing >= mostWaitingOfOne)
        return onFailure(call, new StableDiffusionError('busy', `More than ${mostWaitingOfOne} webhooks wait.`));
      callers.set(call.owner, caller);
      caller.waiting.push({ call, tries: 0 });
      next();
    },
    async stop() {
      stopping.abort();
      await Promise.all([...active, ...pausing]);
    },
  };
}
