/** Every gradient rule of the table, by finite differences, through the engine, with the sizes as numbers and as symbols. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { mul, sum } from '../../src/graph/functions.ts';
import { gradientRules, gradients } from '../../src/graph/gradients.ts';
import type { Attributes, OpName } from '../../src/graph/operations.ts';
import { type Sym, trace } from '../../src/graph/trace.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { noise, type Sample, samples, without } from './gradient-samples.ts';
import { type Inputs, traceLike, traceSymbolic } from './run-graph.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const dot = (a: Tensor, b: Tensor): number => {
  let total = 0;
  for (let i = 0; i < a.data.length; i++) total += Number(a.data[i]) * Number(b.data[i]);
  return total;
};

interface Differentiated {
  readonly gradient: Tensor;
  readonly up: Tensor;
  readonly outputAt: (value: Tensor<'float32'>) => Promise<Tensor>;
}

/** Compares the gradient along two directions with fourth-order central differences; the step is large because the engine calculates in float32. */
async function compareSlopes(
  title: string,
  value: Tensor<'float32'>,
  { gradient, up, outputAt }: Differentiated,
): Promise<void> {
  assert.deepEqual(gradient.shape, value.shape);
  for (const seed of [51, 52]) {
    const direction = noise(value.shape, seed);
    const at = async (step: number): Promise<number> => {
      const moved = value.data.map((element, i) => element + step * (direction.data[i] as number));
      return dot(await outputAt(float32(value.shape, moved)), up);
    };
    const step = 0.02;
    const difference =
      (8 * ((await at(step)) - (await at(-step))) - ((await at(2 * step)) - (await at(-2 * step)))) / (12 * step);
    const analytic = dot(gradient, direction);
    const scale = Math.max(1, Math.abs(difference));
    assert.ok(
      Math.abs(difference - analytic) < 1e-3 * scale,
      `${title}: rule ${analytic}, finite difference ${difference}`,
    );
  }
}

async function check<K extends OpName>(op: K, { inputs, attributes, symbols }: Sample<K>): Promise<void> {
  const given: Inputs = Object.fromEntries(inputs.map((value, i) => [`i${i}`, value]));
  const named = symbols && Object.fromEntries(symbols.map((list, i) => [`i${i}`, list]));
  const output = (symbols: Readonly<Record<string, Sym>>): Sym => {
    const builder = (symbols['up'] ?? symbols['i0'])?.builder;
    assert.ok(builder);
    return builder.apply(
      op,
      inputs.map((_, i) => symbols[`i${i}`] as Sym),
      attributes,
    );
  };
  const forward = named
    ? traceSymbolic(given, named, (all) => ({ y: output(all) }))
    : traceLike(given, (all) => ({ y: output(all) }));
  const program = await engine.compile(forward, memoryWeights(new Map()));
  const { y } = await program.run(given);
  assert.ok(y);
  const floating = inputs.flatMap((value, i) =>
    value.dtype === 'float32' && !without[op]?.includes(i) ? [`i${i}`] : [],
  );
  if (op === 'cast' && (attributes as Attributes['cast']).dtype === 'int64') floating.length = 0;
  if (y.dtype !== 'float32' && y.dtype !== 'float64') {
    assert.deepEqual(
      gradientRules[op](
        undefined as never,
        { inputs: inputs as never, attributes, output: undefined as never } as never,
      ).filter(Boolean),
      [],
    );
    await program.dispose();
    return;
  }
  const up = tensor(
    y.dtype,
    y.shape,
    y.dtype === 'float64' ? Float64Array.from(noise(y.shape, 99).data) : noise(y.shape, 99).data,
  ) as Tensor;
  const types = [...forward.inputs, { name: 'up', value: forward.outputs[0]?.value }];
  const withUp = trace(Object.fromEntries(types.map(({ name, value }) => [name, value ?? y])), (all) => ({
    loss: sum(mul(output(all), all['up'] as Sym)),
  }));
  const graph = gradients(withUp, 'loss', Object.keys(given));
  assert.deepEqual(
    graph.outputs.map(({ name }) => name),
    ['loss', ...floating.map((name) => `grad.${name}`)],
  );
  const differentiated = await engine.compile(graph, memoryWeights(new Map()));
  const found = await differentiated.run({ ...given, up });
  for (const name of floating) {
    const gradient = found[`grad.${name}`] as Tensor;
    const outputAt = async (value: Tensor<'float32'>): Promise<Tensor> =>
      (await program.run({ ...given, [name]: value }))['y'] as Tensor;
    await compareSlopes(`${op} to input ${name}`, given[name] as Tensor<'float32'>, { gradient, up, outputAt });
  }
  await program.dispose();
  await differentiated.dispose();
}

for (const op of Object.keys(samples) as OpName[]) {
  test(`gradient of ${op}`, async () => {
    for (const sample of samples[op] as readonly Sample<OpName>[]) {
      if (sample.inputs.length === 0) continue;
      await check(op, { inputs: sample.inputs, attributes: sample.attributes });
      if (sample.symbols) await check(op, sample);
    }
  });
}

test('the loop misses no operation', () => {
  assert.deepEqual(Object.keys(samples).sort(), Object.keys(gradientRules).sort());
});
