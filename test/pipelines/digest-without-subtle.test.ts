/** The digest of pages without `crypto.subtle`, against Node's own. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { digestBytes } from '../../src/pipelines/digest.ts';

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + length) % 256);

test('the digest is the same where the platform has no crypto.subtle, at each length around the ends of blocks', async (t) => {
  t.mock.getter(globalThis.crypto, 'subtle', () => undefined);
  assert.equal(globalThis.crypto.subtle, undefined);
  for (const length of [...Array(200).keys(), 1000, 65_537]) {
    // From an odd offset, as parts of files are.
    const bytes = new Uint8Array([1, ...bytesOf(length)]).subarray(1);
    assert.equal(await digestBytes(bytes), createHash('sha256').update(bytes).digest('hex'), `${length} bytes`);
  }
});
