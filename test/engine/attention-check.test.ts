/** Attention written as products and a softmax equals ONNX Runtime's fused kernel, and a device whose fused kernel is wrong is found out. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { fusedAttentionWorks } from '../../src/engine/attention-check.ts';
import type { Program } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { dim } from '../../src/graph/dim.ts';
import { attention, mul } from '../../src/graph/functions.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { trace } from '../../src/graph/trace.ts';
import { emitOnnx } from '../../src/onnx/emit.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { wave } from './conformance-tools.ts';

const nothing = memoryWeights(new Map());

test('the CPU passes the check, a kernel that counts keys which are not there does not', async () => {
  await using engine = createNodeEngine({ threads: 1 });
  assert.equal(await fusedAttentionWorks((graph) => engine.compile(graph, nothing)), true);
  // As on SwiftShader: more weights in the sum than there are keys.
  const halved = async (graph: Graph): Promise<Program> => {
    const value = graph.inputs.map(({ name, value: { dtype, shape } }) => [name, { dtype, shape }] as const);
    const wrong = trace(Object.fromEntries(value), ({ q, k, v }) => ({
      out: mul(attention(q as never, k as never, v as never, { heads: 1, scale: 1 }), 0.5),
    }));
    return engine.compile(wrong, nothing);
  };
  assert.equal(await fusedAttentionWorks(halved), false);
});

async function run(model: Uint8Array, inputs: Readonly<Record<string, Tensor<'float32'>>>): Promise<Float32Array> {
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1 });
  const feeds = Object.fromEntries(
    Object.entries(inputs).map(([name, { data, shape }]) => [name, new OrtTensor('float32', data, shape)]),
  );
  const { out } = await session.run(feeds);
  await session.release();
  return out?.data as Float32Array;
}

const cases = [
  { name: 'several heads', heads: 4, causal: false, masked: false },
  { name: 'one head', heads: 1, causal: false, masked: false },
  { name: 'causal', heads: 2, causal: true, masked: false },
  { name: 'with a mask', heads: 2, causal: false, masked: true },
];
for (const { name, heads, causal, masked } of cases) {
  test(`attention as products and a softmax, ${name}: equal to the fused kernel within 1e-6`, async () => {
    const tokens = [dim('batch'), dim('tokens'), 32];
    const inputs = {
      q: { dtype: 'float32', shape: tokens },
      k: { dtype: 'float32', shape: tokens },
      v: { dtype: 'float32', shape: tokens },
      mask: { dtype: 'float32', shape: [dim('batch'), 1, dim('tokens'), dim('tokens')] },
    } as const;
    const graph = trace(inputs, ({ q, k, v, mask }) => ({
      out: attention(q, k, v, { heads, causal, ...(masked ? { mask } : {}) }),
    }));
    const given = { q: wave([2, 9, 32]), k: wave([2, 9, 32], 1), v: wave([2, 9, 32], 2), mask: wave([2, 1, 9, 9], 3) };
    const fused = await run(emitOnnx(graph), given);
    const plain = await run(emitOnnx(graph, { fusedAttention: false }), given);
    assert.equal(plain.length, 2 * 9 * 32);
    assert.ok(plain.every((value, i) => Math.abs(value - (fused[i] ?? Number.NaN)) < 1e-6));
  });
}
