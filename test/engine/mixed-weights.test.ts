/** Weights of which some lie in a file as they are and others do not, as with a LoRA merged into a checkpoint. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { add, linear } from '../../src/graph/functions.ts';
import { trace } from '../../src/graph/trace.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { joined } from '../../src/weights/view.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';

test('a program takes weights from a file and from memory', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-weights-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file.safetensors');
  await writeFileAtomic(
    path,
    writeSafetensors([{ name: 'a', dtype: 'float32', shape: [2, 2] }], () => float32([2, 2], [1, 2, 3, 4])),
  );
  const file = await openWeightsAt(path);
  assert.ok(file.locate?.('a'));
  const weights = joined([file, memoryWeights(new Map([['b', float32([2, 2], [10, 20, 30, 40])]]))]);
  await using engine = createNodeEngine({ threads: 1 });
  const graph = trace({ x: { dtype: 'float32', shape: [1, 2] } }, ({ x }, p) => ({
    y: add(linear(x, p.get('a', [2, 2])), linear(x, p.get('b', [2, 2]))),
  }));
  const program = await engine.compile(graph, weights);
  const { y } = await program.run({ x: float32([1, 2], [1, 1]) });
  assert.deepEqual([...(y?.data ?? [])], [33, 77]);
  await weights.close();
});
