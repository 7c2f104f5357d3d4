/**
 * Resources of requests in progress: the requests, the bytes of their bodies and answers, and event streams. They are counted for each caller and
 * for all before the body is read, and given back when the answer is out.
 */

import { StableDiffusionError } from '../../errors.ts';
import type { Limits } from '../limits.ts';

export interface Ticket {
  /** Requests of the caller under way when this one came, itself included. */
  readonly underWay: number;
  /** Sets the number of bytes that the request holds: fewer than its body once pictures are stored. */
  hold(bytes: number): void;
  /** An event stream is open until the ticket is given back. Throws `busy`. */
  stream(): void;
  /** The answer has so many bytes and is held until it is read. Throws `busy`; the first answer of a caller is always given. */
  answer(bytes: number): void;
  /** The answer is out. */
  leave(): void;
}

export interface InFlight {
  /** Throws `busy` with scope `caller` (429) or `server` (503). */
  enter(owner: string, bytes: number): Ticket;
}

interface Held {
  requests: number;
  bytes: number;
  streams: number;
  answers: number;
}

const nothing: Held = { requests: 0, bytes: 0, streams: 0, answers: 0 };

type Kind = keyof Held;

const words: { readonly [K in Kind]: string } = {
  requests: 'requests are under way',
  bytes: 'bytes of requests are under way',
  streams: 'event streams are open',
  answers: 'bytes of answers wait to be read',
};

const full = (scope: 'caller' | 'server', kind: Kind, most: number): StableDiffusionError =>
  new StableDiffusionError(
    'busy',
    `${scope === 'caller' ? 'For your key' : 'In all'} ${most} ${words[kind]} at most. Try again later.`,
    { details: { scope } },
  );

export function createInFlight(limits: Limits): InFlight {
  const all: Held = { ...nothing };
  const callers = new Map<string, Held>();
  const most: { readonly [K in Kind]: readonly [caller: number, all: number] } = {
    requests: [limits.requestsUnderWayPerCaller, limits.requestsUnderWay],
    bytes: [limits.bytesInFlightPerCaller, limits.bytesInFlight],
    streams: [limits.eventStreamsPerCaller, limits.eventStreams],
    answers: [limits.answerBytesPerCaller, limits.answerBytes],
  };
  const check = (own: Held, kind: Kind, amount: number): void => {
    const [perCaller, inAll] = most[kind];
    if (own[kind] + amount > perCaller) throw full('caller', kind, perCaller);
    if (all[kind] + amount > inAll) throw full('server', kind, inAll);
  };
  return {
    enter(owner, bytes) {
      const own = callers.get(owner) ?? { ...nothing };
      check(own, 'requests', 1);
      check(own, 'bytes', bytes);
      callers.set(owner, own);
      const mine: Held = { ...nothing };
      const add = (kind: Kind, amount: number): void => {
        mine[kind] += amount;
        own[kind] += amount;
        all[kind] += amount;
      };
      add('requests', 1);
      add('bytes', bytes);
      let left = false;
      return {
        underWay: own.requests,
        hold(wanted) {
          if (!left && wanted < mine.bytes) add('bytes', wanted - mine.bytes);
        },
        stream() {
          check(own, 'streams', 1);
          add('streams', 1);
        },
        answer(wanted) {
          if (own.answers > 0) check(own, 'answers', wanted);
          if (!left) add('answers', wanted);
        },
        leave() {
          if (left) return;
          left = true;
          for (const kind of ['requests', 'bytes', 'streams', 'answers'] as const) add(kind, -mine[kind]);
          if (own.requests === 0) callers.delete(owner);
        },
      };
    },
  };
}
