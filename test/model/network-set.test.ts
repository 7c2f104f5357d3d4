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
