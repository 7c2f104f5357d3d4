/** How long a caption may be that is cleaned. What cleaning does are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanCaption } from '../../src/tokenizer/clean-caption.ts';
import { processorTime } from '../processor-time.ts';

test('captions are cleaned in little time at their longest, and refused beyond', () => {
  for (const piece of ['a.', 'a-', '<', '𝒜', '"', '1a', 'www.']) {
    const caption = piece.repeat(Math.floor(16_000 / piece.length));
    assert.ok(processorTime(() => cleanCaption(caption)) < 3000, piece);
    assert.throws(() => cleanCaption(piece.repeat(20_000)), { code: 'too-large' });
  }
  assert.equal(cleanCaption(`A red  apple ${' '.repeat(300)}`), 'a red apple');
});
