/** Who is next by fair shares. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFairShare } from '../../src/server/queue/fair-share.ts';

test('callers that always wait share alike by work', () => {
  const share = createFairShare();
  const done = new Map([
    ['small', 0],
    ['large', 0],
  ]);
  for (let i = 0; i < 100; i++) {
    const owner = share.next(done.keys()) ?? '';
    const work = owner === 'small' ? 1 : 4;
    share.charge(owner, work);
    done.set(owner, (done.get(owner) ?? 0) + work);
  }
  assert.ok(Math.abs((done.get('small') ?? 0) - (done.get('large') ?? 0)) <= 4, JSON.stringify([...done]));
});

test('a caller that comes back has no turns saved up', () => {
  const share = createFairShare();
  for (let i = 0; i < 10; i++) share.charge(share.next(['a']) ?? '', 1);
  const turns = Array.from({ length: 10 }, () => {
    const owner = share.next(['a', 'b']) ?? '';
    share.charge(owner, 1);
    return owner;
  });
  assert.ok(turns.filter((owner) => owner === 'b').length <= 6, turns.join());
});

test('jobs that share the runs of others do not carry virtual time ahead', () => {
  const share = createFairShare();
  for (let i = 0; i < 20; i++) {
    share.charge(share.next(['few']) ?? '', 1);
    share.charge('many', 7);
  }
  share.next(['few', 'many']);
  assert.equal(share.received('new'), 20);
  assert.equal(share.received('many'), 140);
});
