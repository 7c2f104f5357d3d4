/** Token merging against tomesd (`token-merging-golden.py`): sizes that fields do not divide, and shares up to all of the sources. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { matchTokens, tokenFields } from '../../src/extensions/token-merging.ts';
import { add, mul } from '../../src/graph/functions.ts';
import { need, traceNetwork } from '../../src/models/trace-network.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

type Case = readonly [
  height: number,
  width: number,
  fieldWidth: number,
  fieldHeight: number,
  merged: number,
  left: number,
  x: readonly number[],
  out: readonly number[],
];
const cases = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/networks/token-merging.json', import.meta.url)), 'utf8'),
) as readonly Case[];

test('tokens merge and part as in tomesd', async () => {
  assert.equal(cases.length, 30);
  for (const [height, width, fieldWidth, fieldHeight, most, left, x, wanted] of cases) {
    const shape = [1, height * width, 3];
    const fields = tokenFields(height, width, fieldWidth, fieldHeight);
    const merged = Math.min(fields.sources.length, most);
    const graph = traceNetwork({ x: { dtype: 'float32', shape } }, (_, given) => {
      const tokens = need(given, 'x');
      const match = matchTokens(tokens, fields, merged);
      const fewer = match.merge(tokens);
      return { fewer, out: match.unmerge(add(mul(fewer, 2), 1)) };
    });
    await using program = await engine.compile(graph, memoryWeights(new Map(), 'none'));
    const { fewer, out } = await program.run({ x: float32(shape, Float32Array.from(x)) });
    assert.deepEqual(fewer?.shape, [1, left, 3]);
    const worst = Math.max(...wanted.map((value, i) => Math.abs(value - Number(out?.data[i]))));
    assert.ok(worst <= 1e-5, `${height} x ${width} in ${fieldHeight} x ${fieldWidth}, ${merged} merged: ${worst}`);
  }
});
