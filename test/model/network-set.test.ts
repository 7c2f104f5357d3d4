/** Sets of networks, and what loading a model leaves behind when it is refused. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { NetworkSet } from '../../src/model/network-set.ts';
import { openModel } from '../../src/model/open-model.ts';
import { int64 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomCheckpoint, randomWeights } from './random-model.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const text = clipTextConfigSchema.parse({
  kind: 'clip_text',
  vocab_size: 600,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
});

test('a graph is compiled once, and the set frees what it compiled', async () => {
  const compiled: string[] = [];
  const counting: Engine = {
    ...engine,
    limits: engine.limits,
    async compile(graph, weights, options) {
      compiled.push(graph.outputs.map(({ name }) => name).join());
      return engine.compile(graph, weights, options);
    },
  };
  const networks = new NetworkSet({
    label: 'two',
    engine: counting,
    networks: new Map([
      ['a', { config: text, weights: randomWeights(text, 1) }],
      ['b', { config: text, weights: randomWeights(text, 2) }],
    ]),
  });
  const inputs = { input_ids: int64([1, 3], [1, 2, 599]) };
  const outputs = ['pooled'];
  const first = await networks.run({ network: 'a', outputs }, inputs);
  const again = await networks.run({ network: 'a', outputs }, inputs);
  const other = await networks.run({ network: 'b', outputs }, inputs);
  assert.deepEqual(first['pooled']?.data, again['pooled']?.data);
  assert.notDeepEqual(first['pooled']?.data, other['pooled']?.data);
  assert.deepEqual(compiled, ['pooled', 'pooled']);
  await assert.rejects(networks.run({ network: 'c', outputs }, inputs), {
    code: 'invalid-argument',
    message: /no network c; it has a, b/,
  });
  await assert.rejects(networks.run({ network: 'a', graph: 'encode', outputs }, inputs), { code: 'invalid-argument' });
  await networks.dispose();
  await assert.rejects(async () => networks.run({ network: 'a', outputs }, inputs), { code: 'invalid-argument' });
});

test('a model that is refused starts no engine and closes its files', async () => {
  let closed = 0;
  let engines = 0;
  const checkpoint = randomCheckpoint(text, 16);
  const broken = {
    ...checkpoint,
    parts: { ...checkpoint.parts, cond_stage: memoryWeights(new Map()) },
    async close() {
      closed += 1;
    },
  };
  const opening = openModel(
    { checkpoint: broken, tokenizer: {}, open: async () => memoryWeights(new Map()) },
    {
      engine: () => {
        engines += 1;
        return engine;
      },
      ownsEngine: true,
    },
  );
  await assert.rejects(opening, { code: 'weights-mismatch' });
  assert.deepEqual({ closed, engines }, { closed: 1, engines: 0 });
});

/** An engine whose programs return infinities in the given precisions. */
function overflowing(precisions: readonly string[], compiled: string[]): Engine {
  return {
    ...engine,
    limits: engine.limits,
    async compile(graph, weights, options) {
      const precision = String(options?.precision ?? 'float32');
      compiled.push(precision);
      const program = await engine.compile(graph, weights);
      return {
        graph,
        async run(inputs) {
          const results = await program.run(inputs);
          if (precisions.includes(precision)) results['pooled']?.data.fill(Number.POSITIVE_INFINITY as never);
          return results;
        },
        runBound: program.runBound.bind(program),
        dispose: () => program.dispose(),
        [Symbol.asyncDispose]: () => program.dispose(),
      };
    },
  };
}

const oneText = (over: Engine, precision?: 'float16') =>
  new NetworkSet({
    label: 'one.safetensors',
    engine: over,
    networks: new Map([['cond_stage', { config: text, weights: randomWeights(text, 1) }]]),
    precision,
  });
const pooled = { network: 'cond_stage', outputs: ['pooled'] };
const threeTokens = { input_ids: int64([1, 3], [1, 2, 599]) };

test('a network that leaves the range of float16 runs in float32 from then on', async () => {
  const compiled: string[] = [];
  await using networks = oneText(overflowing(['float16'], compiled), 'float16');
  await using exact = oneText(engine);
  const want = await exact.run(pooled, threeTokens);
  assert.deepEqual(await networks.run(pooled, threeTokens), want);
  assert.deepEqual(await networks.run(pooled, threeTokens), want);
  assert.deepEqual(compiled, ['float16', 'float32']);
});

test('a network that is not finite in float32 either is named in the error', async () => {
  await using networks = oneText(overflowing(['float16', 'float32'], []), 'float16');
  await assert.rejects(networks.run(pooled, threeTokens), {
    code: 'not-finite',
    message: /network cond_stage of one\.safetensors returned pooled with NaN or infinite values/,
  });
});
