/** FreeU's filter against diffusers (`free-u-golden.py`), for pictures of one place along an axis too. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { fourierFilter } from '../../src/extensions/free-u.ts';
import { traceNetwork, need } from '../../src/models/trace-network.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

type Case = readonly [height: number, width: number, scale: number, x: readonly number[], out: readonly number[]];
const cases = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/networks/free-u.json', import.meta.url)), 'utf8'),
) as readonly Case[];

test('low frequencies are scaled as in diffusers', async () => {
  assert.equal(cases.length, 30);
  for (const [height, width, scale, x, wanted] of cases) {
    const shape = [1, 2, height, width];
    const graph = traceNetwork({ x: { dtype: 'float32', shape } }, (_, given) => ({
      out: fourierFilter(need(given, 'x'), 1, scale),
    }));
    await using program = await engine.compile(graph, memoryWeights(new Map(), 'none'));
    const { out } = await program.run({ x: float32(shape, Float32Array.from(x)) });
    const worst = Math.max(...wanted.map((value, i) => Math.abs(value - Number(out?.data[i]))));
    assert.ok(worst <= 3e-6, `${height} x ${width} by ${scale}: ${worst}`);
  }
});
