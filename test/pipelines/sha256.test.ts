/** The digest of pages without `crypto.subtle`, against Node's own, at each length around the ends of blocks. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { digestBytes } from '../../src/pipelines/digest.ts';
import { sha256 } from '../../src/pipelines/sha256.ts';

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + length) % 256);

test('equals the digest of OpenSSL', () => {
  for (const length of [...Array(200).keys(), 1000, 65_537]) {
    // From an odd offset, as parts of files are.
    const bytes = new Uint8Array([1, ...bytesOf(length)]).subarray(1);
    assert.equal(
      Buffer.from(sha256(bytes)).toString('hex'),
      createHash('sha256').update(bytes).digest('hex'),
      `${length} bytes`,
    );
  }
});

test('a record states the same digest where the platform has no crypto.subtle', async (t) => {
  const bytes = bytesOf(300);
  const usual = await digestBytes(bytes);
  t.mock.getter(globalThis.crypto, 'subtle', () => undefined);
  assert.equal(globalThis.crypto.subtle, undefined);
  assert.equal(await digestBytes(bytes), usual);
});
