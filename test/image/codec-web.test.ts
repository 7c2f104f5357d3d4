/** The browser's codec against the conformance suite, in headless Chromium. */

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runInPage, withoutBrowser } from '../engine/browser.ts';
import { assertWithin } from '../parity.ts';
import { reference } from '../reference.ts';
import type { Measured } from './codec-conformance.ts';

test('web codec: conformance', { skip: withoutBrowser }, async () => {
  const folder = reference('files/images');
  const files = Object.fromEntries(readdirSync(folder).map((name) => [`/images/${name}`, join(folder, name)]));
  const results = await runInPage('test/image/codec-conformance-page.ts', { files });
  assert.ok(results.length > 60);
  for (const { name, error, value } of results) {
    assert.equal(error, undefined, name);
    for (const row of value as readonly Measured[])
      assertWithin({
        part: 'files/images',
        case: `${name.split(':')[0]} (browser)`,
        reference: 'Pillow 13.0.0',
        ...row,
      });
  }
});
