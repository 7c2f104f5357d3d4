/** Networks that are freed when they are done: what is compiled when, and that pictures stay the same. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import type { MemoryUse } from '../../src/model/free-networks.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { resultOf } from '../pipelines/result.ts';

const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

/** The latents of two batches, and what was compiled (+) and freed (-) on the way. */
async function run(memory: MemoryUse, availableMemory?: () => number) {
  const log: string[] = [];
  const watched: Engine = {
    ...engine,
    provider: engine.provider,
    limits: { ...engine.limits, availableMemory },
    async compile(graph, weights, options) {
      const name =
        graph.inputs[0]?.name === 'ids' || graph.inputs[0]?.name === 'input_ids' ? 'text' : graph.inputs[0]?.name;
      log.push(`+${name}`);
      const program = await engine.compile(graph, weights, options);
      return {
        ...program,
        run: (inputs, own) => program.run(inputs, own),
        async dispose() {
          log.push(`-${name}`);
          await program.dispose();
        },
      };
    },
  };
  await using model = await loadModel(pocketModel, { engine: watched, memory });
  const options = { prompt: 'red apple', steps: 2, iterations: 2, width: 64, height: 64, seed: 3 };
  const { latents } = await resultOf(textToImage(model, options));
  return { latents, log: log.join(' ') };
}

test('pictures are the same whether networks were freed or not', async () => {
  const kept = await run('auto');
  assert.equal(kept.log, '+text +x +z');
  const short = await run('auto', () => 2 ** 24);
  assert.equal(short.log, '+text -text +x -x +z +x');
  const low = await run('low');
  assert.equal(low.log, '+text -text +x -x +z +x -x');
  const once = await run('once');
  assert.equal(once.log, '+text -text +x +z -x');
  assert.deepEqual(once.latents.data, kept.latents.data);
  assert.deepEqual(short.latents.data, kept.latents.data);
  assert.deepEqual(low.latents.data, kept.latents.data);
});
