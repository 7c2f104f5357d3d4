/** Cases that the reference set names but has not recorded, with its reasons, so that the table of parity lists every case. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { recordParity } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';

test('cases without a record', { skip: skipUnless('training/index.json') }, () => {
  const { cases } = JSON.parse(readFileSync(reference('training/index.json'), 'utf8')) as {
    readonly cases: readonly { readonly case: string; readonly skipped?: string }[];
  };
  const skipped = cases.filter((one) => one.skipped !== undefined);
  assert.ok(skipped.length < cases.length);
  for (const { case: name, skipped: reason } of skipped)
    recordParity({
      part: 'training',
      case: name,
      output: 'none',
      error: 0,
      tolerance: 0,
      note: `skipped by the reference: ${reason}`,
    });
});
