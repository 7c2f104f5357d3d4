/**
 * The process ends, or the disk is full, at one of its writes: what was promised before is kept. A few points of each scenario; all of them
 * with `npm run faults`.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countWrites, type FaultKind, tryFault } from '../../tools/faults/run.ts';

/** Points of each kind, spread over the writes. */
const perKind = 1;

for (const name of ['journal', 'store', 'files', 'checkpoints'])
  test(`${name}: nothing that was promised is lost, whichever write is the last`, async () => {
    const writes = await countWrites(name);
    assert.ok(writes > 10, `${writes} writes`);
    for (const kind of ['kill', 'half', 'full'] satisfies FaultKind[])
      for (let i = 1; i <= perKind; i++) {
        const at = Math.ceil((writes * i) / (perKind + 1));
        assert.equal(await tryFault(name, kind, at), undefined, `${kind} at write ${at} of ${writes}`);
      }
  });
