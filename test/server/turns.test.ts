/** Turns at the engine: callers share it step by step, by their work. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { createTurns, inTurns } from '../../src/server/run/turns.ts';

const never = new AbortController().signal;

async function* numbers(count: number): AsyncGenerator<number, void, void> {
  for (let i = 0; i < count; i++) {
    await settled();
    yield i;
  }
}

test('a small job is done before a large one that began earlier', async () => {
  const turns = createTurns(1);
  const order: string[] = [];
  const run = async (owner: string, steps: number, work: number): Promise<void> => {
    const events = inTurns(numbers(steps), {
      turns,
      owner,
      signal: never,
      workOf: () => [[owner, work]],
      onSpent: () => {},
    });
    for await (const step of events) order.push(`${owner}${step}`);
    order.push(`${owner} done`);
  };
  const large = run('alice', 50, 1000);
  await settled();
  await settled();
  const small = run('bob', 3, 10);
  await Promise.all([large, small]);
  const ended = order.indexOf('bob done');
  assert.ok(ended >= 0 && ended < order.indexOf('alice6'), order.slice(0, 12).join());
  assert.equal(order.at(-1), 'alice done');
});

test('callers with large jobs get equal work, not equal steps', async () => {
  const turns = createTurns(1);
  const received = { alice: 0, bob: 0 };
  const run = async (owner: 'alice' | 'bob', work: number): Promise<void> => {
    const events = inTurns(numbers(1000), {
      turns,
      owner,
      signal: never,
      workOf: () => [[owner, work]],
      onSpent: () => {},
    });
    for await (const _ of events) {
      received[owner] += work;
      if (received.alice + received.bob > 4000) return;
    }
  };
  await Promise.all([run('alice', 100), run('bob', 10)]);
  assert.ok(Math.abs(received.alice - received.bob) <= 110, JSON.stringify(received));
});

test('a group that is given up while it waits for its turn does not hold the others up', async () => {
  const turns = createTurns(1);
  const end = await turns.take('alice', never);
  const abort = new AbortController();
  const waiting = turns.take('bob', abort.signal);
  abort.abort();
  (await waiting)([]);
  end([['alice', 1]]);
  (await turns.take('carol', never))([]);
});
