/** Hostile requests to ControlNet's routes and units: each is refused at its field, and the server answers others afterwards. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { countProcessorTime } from '../processor-time.ts';
import { type ControlServer, startControlServer } from './control-folder.ts';
import { base64Png, type TestServer, testImage } from './start.ts';

let controlled: ControlServer;
let server: TestServer;
let image = '';
before(async () => {
  controlled = await startControlServer();
  ({ server } = controlled);
  image = await base64Png(testImage(64, 64, 'mask'));
});
after(() => controlled.end());

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 1, seed: 5, sampler_name: 'Euler' };

/** Status and text of the answer, which takes the server less than ten seconds of processor time. */
async function answerTo(path: string, body: unknown): Promise<string> {
  const taken = countProcessorTime();
  const { status, body: answer } = await server.json('POST', path, body);
  const milliseconds = taken();
  assert.ok(milliseconds < 10_000, `${path} took ${milliseconds} ms`);
  return `${status} ${JSON.stringify(answer).slice(0, 2000)}`;
}

const unit = { enabled: true, module: 'canny', model: 'tiny_v11_canny' };
const withUnits = (...args: unknown[]) => ({ ...small, alwayson_scripts: { controlnet: { args } } });
const million = Array.from({ length: 1_000_000 }, () => 1);

const hostileUnits: Readonly<Record<string, () => readonly [units: readonly unknown[], wanted: RegExp]>> = {
  'by the hundred': () => [Array.from({ length: 300 }, () => ({ ...unit, image: '' })), /^422 .*"msg"/],
  'by the thousand': () => [Array.from({ length: 1001 }, () => ({ ...unit })), /^422 .*at most 1000 elements/],
  'with a million layer weights': () => [[{ ...unit, image, advanced_weighting: million }], /^4(?:13|22) /],
  'with 65 layer weights': () => [[{ ...unit, image, advanced_weighting: million.slice(0, 65) }], /^422 .*at most 64/],
  'with a weight of 1e400': () => [[{ ...unit, image, weight: '1e400' }], /^422 .*"weight"/],
  'with a weight of NaN': () => [[{ ...unit, image, weight: 'NaN' }], /^422 .*"weight"/],
  'with a large weight': () => [[{ ...unit, image, weight: 1e30 }], /^422 .*"weight"/],
  'with a guidance that is not finite': () => [
    [{ ...unit, image, guidance_start: 'Infinity' }],
    /^422 .*guidance_start/,
  ],
  'with a guidance below 0': () => [[{ ...unit, image, guidance_end: -1 }], /^422 .*guidance_end/],
  'with base64 of nothing': () => [[{ ...unit, image: '====' }], /^422 .*Invalid encoded image/],
  'with a data URL of nothing': () => [[{ ...unit, image: 'data:image/png;base64,' }], /^422 .*Invalid encoded image/],
  'with a model that climbs': () => [
    [{ ...unit, image, model: '../../../../etc/passwd' }],
    /^422 .*Unknown control model/,
  ],
  'with a model of a megabyte': () => [[{ ...unit, image, model: 'a'.repeat(1e6) }], /^422 .*Unknown control model/],
  'of a reference mode with a region': () => [
    [{ ...unit, image, module: 'reference_only', effective_region_mask: image }],
    /^422 .*a reference mode does not take it/,
  ],
  'with a module of a megabyte': () => [[{ ...unit, image, module: 'a'.repeat(1e6) }], /^422 .*not found in supported/],
  'with many pictures': () => [[{ ...unit, image: Array.from({ length: 500 }, () => image) }], /^422 .*"image"/],
};

for (const [name, hostile] of Object.entries(hostileUnits))
  test(`units ${name}`, async () => {
    const [args, wanted] = hostile();
    const answer = await answerTo('/sdapi/v1/txt2img', withUnits(...args));
    assert.match(answer, wanted);
    assert.ok(!answer.includes(controlled.controls), 'a path of the server is in the answer');
  });

const detect = (more: object) => ({ controlnet_module: 'canny', controlnet_input_images: [image], ...more });

const hostileDetects: Readonly<Record<string, () => readonly [body: object, wanted: RegExp]>> = {
  'a thousand pictures': () => [
    detect({ controlnet_input_images: Array.from({ length: 1000 }, () => image) }),
    /^422 .*at most 64/,
  ],
  'base64 of nothing': () => [detect({ controlnet_input_images: ['===='] }), /^422 .*Invalid encoded image/],
  'a resolution that is not finite': () => [detect({ controlnet_processor_res: '1e400' }), /^422 /],
  'a threshold that is not finite': () => [detect({ controlnet_threshold_a: '1e400' }), /^422 /],
  'a module of a megabyte': () => [detect({ controlnet_module: 'a'.repeat(1e6) }), /^422 .*Module not available/],
};

for (const [name, hostile] of Object.entries(hostileDetects))
  test(`detect with ${name}`, async () => {
    const [body, wanted] = hostile();
    assert.match(await answerTo('/controlnet/detect', body), wanted);
  });

test('detect with a ribbon of a picture, at the highest resolution', async () => {
  const ribbon = await base64Png(testImage(8192, 2));
  const answer = await answerTo(
    '/controlnet/detect',
    detect({ controlnet_input_images: [ribbon], controlnet_processor_res: 2048 }),
  );
  assert.match(answer, /^4\d\d .*"(?:msg|detail)"/);
});

test('a ribbon of a picture in a unit, at the highest resolution', async () => {
  const ribbon = await base64Png(testImage(8192, 2));
  const answer = await answerTo('/sdapi/v1/txt2img', withUnits({ ...unit, image: ribbon, processor_res: 2048 }));
  assert.match(answer, /^[24]\d\d /);
});

test('the server answers afterwards', async () => {
  assert.match(await answerTo('/controlnet/detect', detect({})), /^200 /);
});
