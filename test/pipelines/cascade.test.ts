/** A cascade in the library: the last stage with a safety checker judges, and what it flags stays black in the stages after it; encoded prompts; one stream of noise. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { TextToImageOptions } from '../../src/generation/inputs.ts';
import type { Model } from '../../src/model/model.ts';
import type { GeneratedImage } from '../../src/pipelines/events.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { ifModel, ifStageOne, ifStageTwo } from '../if-models.ts';

let engine: Engine;
let one: Model;
let two: Model;
before(async () => {
  engine = createNodeEngine({ threads: 1 });
  [one, two] = [await ifModel(engine, ifStageOne), await ifModel(engine, ifStageTwo)];
});
after(async () => {
  for (const model of [one, two]) await model.dispose();
  await engine.dispose();
});

const quick = { prompt: 'a red apple', steps: 2, batchSize: 2, watermark: false } as const;

async function run(model: Model, options: TextToImageOptions): Promise<readonly GeneratedImage[]> {
  for await (const event of textToImage(model, options)) if (event.kind === 'result') return event.images;
  throw new Error('there was no result');
}

/** The model with a safety checker that flags the pictures of these numbers. */
function judged(model: Model, flags: readonly boolean[]): Model {
  const safety = { imageSize: 32, flagged: async () => flags };
  return new Proxy(model, {
    get(target, name) {
      if (name === 'safety') return safety;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('a picture that the first stage flags is black in the last, where that has no checker of its own', async () => {
  const stage = { model: two, steps: 2 };
  const [flagged, plain] = await run(judged(one, [true, false]), { ...quick, enlarge: [stage] });
  assert.equal(flagged?.flagged, true);
  assert.ok(flagged.image.data.every((value) => value === 0));
  assert.equal(plain?.flagged, false);
  assert.ok(plain.image.data.some((value) => value > 0));
  const [own, other] = await run(judged(one, [true, true]), {
    ...quick,
    enlarge: [{ ...stage, model: judged(two, [false, true]) }],
  });
  assert.deepEqual([own?.flagged, other?.flagged], [false, true]);
});

test('encoded prompts are what the text encoder makes of the prompt', async () => {
  const encoded = {
    prompt: await one.encode({ texts: [quick.prompt] }),
    negative: await one.encode({ texts: [''] }),
  };
  const enlarge = [{ model: two, steps: 2 }];
  const [given, text] = [
    await run(one, { ...quick, prompt: '', encoded, enlarge }),
    await run(one, { ...quick, enlarge }),
  ];
  assert.deepEqual(given[1]?.image.data, text[1]?.image.data);
  assert.match(given[0]?.record.digests.encoded ?? '', /^[0-9a-f]{64}$/);
  await assert.rejects(run(one, { ...quick, encoded: { prompt: encoded.prompt } }), /negative/);
});

test('a style is another picture, and the second stage draws after the first', async () => {
  const enlarge = [{ model: two, steps: 2 }];
  const plain = await run(one, { ...quick, enlarge });
  const styled = await run(one, { ...quick, enlarge, secondPrompt: 'a house' });
  const longer = await run(one, { ...quick, steps: 3, enlarge });
  assert.notDeepEqual(styled[0]?.image.data, plain[0]?.image.data);
  assert.notDeepEqual(longer[0]?.image.data, plain[0]?.image.data);
});
