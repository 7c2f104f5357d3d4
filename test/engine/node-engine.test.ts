/** The conformance suite on onnxruntime-node, CPU provider. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { checks, halfPrecisionCheck } from './conformance.ts';

for (const check of [...checks, halfPrecisionCheck]) {
  test(`node engine: ${check.name}`, async () => {
    await using engine = createNodeEngine({ threads: 1 });
    await check.run(engine);
    assert.equal(engine.provider, 'cpu');
  });
}
