/** The recorded cases of DistributedDataParallel (fixtures/training/ddp) with real ranks, on each MPI that is installed. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reference } from '../reference.ts';
import { onRanks, skip } from './mpi.ts';

const root = reference('training/ddp').replace(/[/\\]training[/\\]ddp$/, '');

for (const name of ['Open MPI', 'MPICH'])
  for (const size of [2, 4])
    test(`recorded cases of DistributedDataParallel on ${size} ranks of ${name}`, {
      skip: skip(name),
      timeout: 200_000,
    }, async () => {
      const { code, out, err } = await onRanks(name, size, ['test/distributed/ddp-ranks.ts', root], { limit: 180 });
      assert.equal(code, 0, err);
      for (let rank = 0; rank < size; rank++) {
        const count = Number(new RegExp(`rank ${rank} of ${size} compared (\\d+)`).exec(out)?.[1]);
        assert.ok(count >= 13, out);
      }
    });
