/** Models of CompVis's zoo whose condition is a picture, a map or boxes: each makes a picture, and what they cannot take is refused by name. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Engine } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { TaskOptions } from '../../src/generation/inputs.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import type { Model } from '../../src/model/model.ts';
import type { GeneratedImage } from '../../src/pipelines/events.ts';
import { generate } from '../../src/pipelines/generate.ts';
import { layoutModel, randomModel, semanticModel, superResolutionModel } from '../random-models.ts';

let engine: Engine;
let models: { readonly small: Model; readonly map: Model; readonly layout: Model };
before(async () => {
  engine = createNodeEngine({ threads: 1 });
  const [small, map, layout] = await Promise.all(
    [superResolutionModel, semanticModel, layoutModel].map((text) => randomModel(text, engine)),
  );
  models = { small, map, layout } as typeof models;
});
after(async () => {
  for (const model of Object.values(models)) await model.dispose();
  await engine.dispose();
});

async function made(model: Model, options: object): Promise<GeneratedImage> {
  const whole = { task: 'img2img', steps: 2, seed: 5, watermark: false, ...options } as TaskOptions;
  for await (const event of generate(model, whole))
    if (event.kind === 'result') return event.images[0] as GeneratedImage;
  throw new Error('there was no result');
}

/** A grey picture whose values count up to a number. */
function ramp(width: number, height: number, levels: number): Image<3> {
  const image = createImage(width, height, 3);
  image.data.forEach((_, i) => {
    image.data[i] = Math.floor(i / 3) % levels;
  });
  return image;
}

const refused = (model: Model, options: object, message: RegExp): Promise<void> =>
  assert.rejects(made(model, options), { code: 'invalid-argument', message });

test('super-resolution makes a picture of the small one times the sides of the first stage', async () => {
  assert.equal(models.small.checkpoint.kind, 'super-resolution');
  const image = ramp(8, 12, 256);
  const one = await made(models.small, { image });
  assert.deepEqual([one.image.width, one.image.height], [16, 24]);
  assert.match(one.record.digests.image ?? '', /^[0-9a-f]{64}$/);
  const other = await made(models.small, { image: ramp(8, 12, 20) });
  assert.notDeepEqual(other.image.data, one.image.data);
});

test('super-resolution in patches makes a picture that differs a little from the whole one', async () => {
  const image = ramp(12, 8, 256);
  const whole = await made(models.small, { image });
  const patched = await made(models.small, { image, patches: { size: 8, stride: 4 } });
  assert.deepEqual([patched.image.width, patched.image.height], [24, 16]);
  assert.notDeepEqual(patched.image.data, whole.image.data);
  assert.deepEqual(patched.record.patches, { size: 8, stride: 4, tieBreaker: false });
});

test('a model that needs a picture refuses a prompt alone', () =>
  refused(models.small, { task: 'txt2img', prompt: 'a' }, /makes its pictures from a picture, and none was given/));

test('a map makes a picture of its size; classes that do not exist and other sizes are refused', async () => {
  assert.equal(models.map.checkpoint.kind, 'semantic-map');
  const one = await made(models.map, { image: ramp(16, 16, 5) });
  assert.deepEqual([one.image.width, one.image.height], [16, 16]);
  await refused(models.map, { image: ramp(16, 16, 6) }, /has class 5 at 5, 0; the model has the classes 0 to 4/);
  await refused(models.map, { image: ramp(18, 16, 5) }, /has 18x16 pixels; its sides must be multiples of 4/);
  await refused(models.map, { image: ramp(16, 16, 5), width: 32 }, /the picture 32x16; they must be the same/);
  const coloured = ramp(16, 16, 5);
  coloured.data[1] = 9;
  await refused(models.map, { image: coloured }, /has colours, the first at 0, 0/);
});

test('boxes make a picture; a wrong number of them and unknown classes are refused', async () => {
  assert.equal(models.layout.checkpoint.kind, 'layout');
  const box = { class: 3, box: [0.1, 0.2, 0.5, 0.5] };
  const options = { task: 'txt2img', width: 16, height: 16 };
  const one = await made(models.layout, { ...options, boxes: [box] });
  const patched = await made(models.layout, { ...options, boxes: [box], patches: { size: 4, stride: 4 } });
  assert.notDeepEqual(patched.image.data, one.image.data);
  const four = new Array<typeof box>(4).fill(box);
  await refused(models.layout, { ...options, boxes: four }, /takes 1 to 3 boxes, and 4 were given/);
  await refused(models.layout, options, /makes pictures of boxes, and none were given/);
  await refused(models.layout, { ...options, boxes: [{ ...box, class: 64 }] }, /token is 64, and the model has tokens/);
  const wrong = { ...options, boxes: [{ ...box, class: 9 }], boxClasses: 9 };
  await refused(models.layout, wrong, /is of class 9; the classes are 0 to 8/);
  const group = { ...options, boxes: [{ ...box, isGroup: true }] };
  await refused(models.layout, group, /need boxClasses, the number of classes/);
  const empty = { ...options, boxes: [{ ...box, box: [0.1, 0.2, 0, 0.5] }] };
  await refused(models.layout, empty, /is empty or outside of the picture/);
});
