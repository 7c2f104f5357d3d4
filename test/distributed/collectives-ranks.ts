/** Run on several ranks by communicator.test.ts: every operation, in small and large, against values known from the ranks alone. */

import assert from 'node:assert/strict';
import { mustAgree } from '../../src/distributed/agreement.ts';
import { anyRank, broadcastJson, rangeCounts, rangeOf } from '../../src/distributed/communicator.ts';
import { openRanks } from '../../src/distributed/open-node.ts';

const { communicator: ranks } = await openRanks('auto', process.env);
const { rank, size } = ranks;
const sum = (size * (size + 1)) / 2;

for (const length of [3, 100_003]) {
  const own = Float32Array.from({ length }, (_, i) => (rank + 1) * (i % 7));
  const total = Float32Array.from({ length }, (_, i) => sum * (i % 7));
  assert.deepEqual(await ranks.allReduce(own), total);
  assert.deepEqual(
    await ranks.allReduce(Float64Array.from(own), 'max'),
    Float64Array.from(own, (_, i) => size * (i % 7)),
  );
  assert.deepEqual(
    await ranks.allReduce(own, 'min'),
    Float32Array.from(own, (_, i) => i % 7),
  );
  const counts = rangeCounts(length, size, 2);
  const { start, end } = rangeOf(length, ranks, 2);
  const part = await ranks.reduceScatter(own, counts);
  assert.deepEqual(part, total.slice(start, end));
  assert.deepEqual(await ranks.allGather(part, counts), total);
  // Into arrays of the caller's, here behind another number of the same memory.
  const room = (count: number): Float32Array<ArrayBuffer> => new Float32Array(count + 1).fill(-1).subarray(1);
  const [all, ownPart, whole] = [room(length), room(part.length), room(length)];
  assert.equal(await ranks.allReduce(own, 'sum', all), all);
  assert.equal(await ranks.reduceScatter(own, counts, ownPart), ownPart);
  assert.equal(await ranks.allGather(ownPart, counts, whole), whole);
  assert.deepEqual([all, ownPart, whole], [total, part, total]);
  assert.deepEqual(
    [all, ownPart, whole].map(({ buffer }) => new Float32Array(buffer)[0]),
    [-1, -1, -1],
  );
  await assert.rejects(ranks.allReduce(own, 'sum', room(length + 1)), { code: 'invalid-argument' });
  await assert.rejects(ranks.allReduce(own, 'sum', own), { code: 'invalid-argument' });
  const words = Uint16Array.from({ length: size * 5 }, (_, i) => 100 * rank + Math.floor(i / 5));
  const got = await ranks.allToAll(words, Array(size).fill(5));
  assert.deepEqual(
    got,
    Uint16Array.from({ length: size * 5 }, (_, i) => 100 * Math.floor(i / 5) + rank),
  );
  const root = size - 1;
  const bytes = rank === root ? Uint8Array.from({ length }, (_, i) => i % 251) : new Uint8Array(length);
  assert.deepEqual(
    await ranks.broadcast(bytes, root),
    Uint8Array.from({ length }, (_, i) => i % 251),
  );
}

// The first waits for the last rank; the second follows it.
if (rank === size - 1) await new Promise((resolve) => setTimeout(resolve, 300));
const [first, second] = await Promise.all([
  ranks.allGather(Int32Array.of(rank)),
  ranks.allGather(Int32Array.of(-rank - 1)),
]);
assert.deepEqual(
  [...first],
  Array.from({ length: size }, (_, i) => i),
);
assert.deepEqual(
  [...second],
  Array.from({ length: size }, (_, i) => -i - 1),
);

assert.deepEqual(await broadcastJson(ranks, rank === 0 ? { text: 'ä', n: [1, 2] } : undefined), {
  text: 'ä',
  n: [1, 2],
});
assert.equal(await anyRank(ranks, rank === 1), true);
assert.equal(await anyRank(ranks, false), false);
await mustAgree(ranks, { version: '1', data: 'same' });
await assert.rejects(mustAgree(ranks, { version: '1', data: rank === 1 ? 'other' : 'same' }), {
  code: 'config-invalid',
  message: 'The ranks differ in data: rank 1 has not that of rank 0. Give all ranks the same.',
});
await ranks[Symbol.asyncDispose]();
process.stdout.write(`rank ${rank} of ${size} done\n`);
