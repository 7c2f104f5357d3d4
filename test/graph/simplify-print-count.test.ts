/** Simplification, the printed form (a golden text) and counts of graphs. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { v1UNet } from '../networks.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { count, countFlops } from '../../src/graph/count.ts';
import { dim, dimText, evaluateDim, multiplyDims } from '../../src/graph/dim.ts';
import * as f from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { print } from '../../src/graph/print.ts';
import { simplify } from '../../src/graph/simplify.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { runGraph } from './run-graph.ts';

const x = { dtype: 'float32', shape: [dim('batch'), 4, multiplyDims(2, dim('height')), dim('width')] } as const;
const ops = (graph: Graph): string[] => graph.nodes.map(({ op }) => op);

/** Operations left of a function of x. */
const left = (network: (x: Sym) => Sym): string[] =>
  ops(simplify(trace({ x }, (given) => ({ out: network(given.x) }))));

test('what changes nothing is left out', () => {
  for (const [name, network] of Object.entries<(v: Sym) => Sym>({
    'reshape to the same shape': (v) => f.reshape(v, v.shape),
    'two transposes that cancel': (v) => f.transpose(f.transpose(v, [0, 2, 3, 1]), [0, 3, 1, 2]),
    'adding and subtracting 0': (v) => f.sub(f.add(0, v), 0),
    'multiplying and dividing by 1, powers of 1': (v) => f.pow(f.div(f.mul(1, v), 1), 1),
    'two negations': (v) => f.neg(f.neg(v)),
    'a slice of everything': (v) => f.slice(v, 2, 0, v.shape[2] as never),
    'padding by nothing': (v) => f.pad(v, [0, 0, 0, 0], [0, 0, 0, 0]),
    'expanding to the same shape': (v) => f.expand(v, v.shape),
  }))
    assert.deepEqual(left(network), [], name);
});

test('chains become one', () => {
  assert.deepEqual(
    left((v) => f.reshape(f.reshape(v, [dim('batch'), -1]), [-1, 4])),
    ['reshape'],
  );
  assert.deepEqual(
    left((v) => f.transpose(f.transpose(v, [1, 0, 2, 3]), [0, 1, 3, 2])),
    ['transpose'],
  );
  assert.deepEqual(
    left((v) => f.mul(v, f.mul(f.add(f.scalar(v, 2), 3), 4))),
    ['mul'],
    'small constants are calculated',
  );
  assert.deepEqual(
    left((v) => f.sub(0, v)),
    ['neg'],
  );
});

test("two parts in each other's padding are put side by side", async () => {
  const at = (v: Sym, before: number, after: number, value = 0): Sym =>
    f.pad(v, [0, before, 0, 0], [0, after, 0, 0], value);
  const half = (v: Sym): Sym => f.neg(f.slice(v, 1, 0, 2));
  assert.deepEqual(
    left((v) => f.add(at(v, 0, 2), at(half(v), 4, 0))),
    ['slice', 'neg', 'concat'],
  );
  assert.deepEqual(
    left((v) => f.add(at(half(v), 4, 0), at(v, 0, 2))),
    ['slice', 'neg', 'concat'],
  );
  for (const [name, network] of Object.entries<(v: Sym) => Sym>({
    'that overlap': (v) => f.add(at(v, 0, 2), at(f.neg(v), 2, 0)),
    'with something else around them': (v) => f.add(at(v, 0, 2, 1), at(half(v), 4, 0)),
    'along two axes': (v) => f.add(f.pad(v, [0, 0, 0, 0], [0, 4, 0, 1]), f.pad(v, [0, 4, 0, 0], [0, 0, 0, 1])),
  }))
    assert.ok(left(network).includes('add'), name);
  const graph = trace({ x: { dtype: 'float32', shape: [1, 4, 1, 1] } }, ({ x: given }) => ({
    out: f.add(at(half(given), 4, 0), at(given, 0, 2)),
  }));
  const { out } = await runGraph(engine, simplify(graph), { x: float32([1, 4, 1, 1], [1, 2, 3, 4]) });
  assert.deepEqual([...(out?.data ?? [])], [1, 2, 3, 4, -1, -2]);
});

test('what would change a value or a shape stays', () => {
  assert.deepEqual(
    left((v) => f.mul(v, 0)),
    ['mul'],
    '0 times infinity is not 0',
  );
  assert.deepEqual(
    left((v) => f.add(f.reshape(v, [-1]), f.constant(v, float32([2, 1], [0, 0])))),
    ['reshape', 'add'],
    'the zeros give the shape',
  );
  assert.deepEqual(
    left((v) => f.stopGradient(v)),
    ['stopGradient'],
  );
  assert.deepEqual(
    left((v) => f.barrier(v, f.sum(v))),
    ['sum', 'barrier'],
  );
});

test('what no output needs goes, inputs stay', () => {
  const graph = trace({ x, y: x }, (given, p) => {
    f.mul(given.y, p.get('unused', [1]));
    return { out: f.relu(given.x) };
  });
  const small = simplify(graph);
  assert.deepEqual([small.inputs.length, small.parameters.length, small.nodes.length], [2, 0, 1]);
});

test('the simplified graph has the same values', async () => {
  await using engine = createNodeEngine({ threads: 1 });
  const graph = trace({ x: { dtype: 'float32', shape: [2, 3] } }, (given) => {
    const doubled = f.mul(f.neg(f.neg(given.x)), f.add(f.scalar(given.x, 1), 1));
    return {
      out: f.transpose(f.transpose(f.sub(f.reshape(f.reshape(doubled, [6]), [3, 2]), 0), [1, 0]), [1, 0]),
      again: f.div(doubled, 1),
    };
  });
  const input = { x: float32([2, 3], [1, -2, 3, -4, 5, 6]) };
  const small = simplify(graph);
  assert.ok(small.nodes.length < graph.nodes.length);
  assert.deepEqual(await runGraph(engine, small, input), await runGraph(engine, graph, input));
});

test('a graph printed', () => {
  const graph = trace({ x }, (given, p) => {
    const y = p
      .at('block')
      .module(() =>
        f.silu(
          f.conv2d(given.x, p.get('conv.weight', [8, 4, 3, 3]), p.get('conv.bias', [8]), { padding: 1, stride: 2 }),
        ),
      );
    return { out: f.mul(f.reshape(y, [dim('batch'), 8, -1]), 0.5) };
  });
  assert.equal(
    print(graph),
    `input     x = float32 [batch, 4, 2*height, width]
parameter conv.weight = float32 [8, 4, 3, 3]
parameter conv.bias = float32 [8]
%0 = conv2d(x, conv.weight, conv.bias) stride=2 pads=[1, 1, 1, 1] groups=1  : float32 [batch, 8, height, 1 + ⌊(-1 + width)/2⌋]  # block
%1 = silu(%0)  : float32 [batch, 8, height, 1 + ⌊(-1 + width)/2⌋]  # block
%2 = reshape(%1) shape=[batch, 8, height + height*⌊(-1 + width)/2⌋]  : float32 [batch, 8, height + height*⌊(-1 + width)/2⌋]
%3 = mul(%2, 0.5)  : float32 [batch, 8, height + height*⌊(-1 + width)/2⌋]
output    out = %3
`,
  );
});

test('a gradient printed', () => {
  const graph = trace({ x: { dtype: 'float32', shape: [dim('batch'), 3] } }, (given, p) => ({
    loss: f.mean(f.relu(f.linear(given.x, p.get('weight', [2, 3])))),
  }));
  assert.equal(
    print(gradients(graph, 'loss', ['weight'], { outputs: [] })),
    `input     x = float32 [batch, 3]
parameter weight = float32 [2, 3]
%0 = linear(x, weight)  : float32 [batch, 2]
%1 = dimension() size=2*batch  : float32 []
%2 = div(1, %1)  : float32 []
%3 = reshape(%2) shape=[1, 1]  : float32 [1, 1]
%4 = expand(%3) shape=[batch, 2]  : float32 [batch, 2]
%5 = less(0, %0)  : bool [batch, 2]
%6 = where(%5, %4, 0)  : float32 [batch, 2]
%7 = matmul(%6, x) transposeA=true transposeB=false  : float32 [2, 3]
output    grad.weight = %7
`,
  );
});

test('counts, as formulas and as numbers', () => {
  const graph = trace({ x }, (given, p) => ({
    out: f.conv2d(given.x, p.get('weight', [8, 4, 3, 3]), p.get('bias', [8]), { padding: 1 }),
  }));
  const { parameters, flops } = count(graph);
  assert.equal(parameters, 8 * 4 * 9 + 8);
  assert.equal(dimText(flops), `${2 * 8 * 2 * 4 * 9}*batch*height*width`);
  assert.equal(countFlops(graph, { batch: 2, height: 3, width: 5 }), 2 * 8 * 2 * 36 * 30);
  assert.throws(() => evaluateDim(flops, new Map()), { code: 'shape-mismatch' });
});

test('the UNet of Stable Diffusion v1 counts 859.52 million parameters and about 0.8 teraflops a picture', () => {
  const graph = traceUNet(v1UNet);
  assert.equal(count(graph).parameters, 859_520_964);
  // 512 x 512 pixels are latents of 64 x 64: height and width count in units of 8.
  const flops = countFlops(graph, { batch: 1, height: 8, width: 8, tokens: 77 });
  assert.ok(flops > 0.7e12 && flops < 0.9e12, `${flops}`);
});

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

test('the gradient stops where it is told to', async () => {
  const graph = trace({ x: { dtype: 'float32', shape: [2] } }, (given) => ({
    loss: f.sum(f.mul(given.x, f.stopGradient(given.x))),
  }));
  const got = await runGraph(engine, gradients(graph, 'loss', ['x']), { x: float32([2], [3, 4]) });
  assert.deepEqual([...((got['grad.x']?.data ?? []) as Float32Array)], [3, 4]);
});

test('a value the loss does not depend on has no gradient, an unknown one is refused', () => {
  const graph = trace({ x: { dtype: 'float32', shape: [2] } }, (given, p) => {
    p.get('other', [2]);
    return { loss: f.sum(given.x), vector: given.x };
  });
  assert.deepEqual(
    gradients(graph, 'loss', ['other']).outputs.map(({ name }) => name),
    ['loss', 'vector'],
  );
  assert.throws(() => gradients(graph, 'loss', ['nothing']), { code: 'invalid-argument' });
  assert.throws(() => gradients(graph, 'vector', ['x']), { code: 'shape-mismatch' });
});
