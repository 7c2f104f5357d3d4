/** A1111's scripts by `script_name`, and its colour correction. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { crop, type Image, toRgb } from '../../src/image/image.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}

interface Info {
  readonly infotexts: readonly string[];
  readonly all_prompts: readonly string[];
  readonly all_seeds: readonly number[];
  readonly index_of_first_image: number;
}

const small = { prompt: 'a red apple', steps: 2, seed: 7, width: 64, height: 64 };
const source = testImage(64, 64);
const initial = async () => ({ ...small, init_images: [await base64Png(source)], denoising_strength: 0.9 });

async function make(task: 'txt2img' | 'img2img', body: object) {
  const { status, body: answer } = await server.json('POST', `/sdapi/v1/${task}`, body);
  assert.equal(status, 200, JSON.stringify(answer).slice(0, 500));
  const { images, info } = answer as Generation;
  return { images: await Promise.all(images.map(decode)), info: JSON.parse(info) as Info };
}

/** Largest difference of a part of a picture from another picture. */
function difference(picture: Image, [left, top]: readonly [number, number], part: Image): number {
  const own = toRgb(crop(picture, left, top, part.width, part.height)).data;
  return Math.max(...toRgb(part).data.map((value, i) => Math.abs(value - (own[i] ?? 0))));
}

test('outpainting adds pixels at the sides and keeps the middle of the picture', async () => {
  for (const script of [
    { script_name: 'Outpainting mk2', script_args: ['', 32, 0, ['left', 'right'], 1, 0.05] },
    { script_name: "poor man's outpainting", script_args: [32, 0, 'fill', ['left', 'right']] },
  ]) {
    const { images, info } = await make('img2img', { ...(await initial()), ...script });
    const [picture] = images;
    assert.ok(picture);
    assert.deepEqual([picture.width, picture.height], [128, 64], script.script_name);
    assert.ok(difference(picture, [33, 0], crop(source, 1, 0, 62, 64)) <= 1, script.script_name);
    assert.match(info.infotexts[0] ?? '', /Outpainting pixels: left 32 right 32/);
  }
});

test('an argument out of bounds, and a script that is not there, are refused at their places', async () => {
  const refused = async (task: 'txt2img' | 'img2img', body: object): Promise<string> => {
    const answer = await server.json('POST', `/sdapi/v1/${task}`, body);
    assert.equal(answer.status, 422);
    const [detail] = (answer.body as { detail: { loc: unknown[]; msg: string }[] }).detail;
    return `${detail?.loc.join('.')}: ${detail?.msg}`;
  };
  const mk2 = { ...(await initial()), script_name: 'Outpainting mk2' };
  assert.match(await refused('img2img', { ...mk2, script_args: ['', 4000] }), /^body.script_args.1: .*8 to 256/);
  assert.match(await refused('img2img', { ...mk2, script_args: ['', 64, 8, ['north']] }), /^body.script_args.3: /);
  assert.match(await refused('img2img', { ...mk2, script_name: 'Ultimate' }), /^body.script_name: .*Outpainting mk2/);
  assert.match(await refused('txt2img', { ...small, script_name: 'Outpainting mk2' }), /^body.script_name: /);
});

test('colour correction gives the result the colours of the initial picture', async () => {
  const plain = await make('img2img', await initial());
  const corrected = await make('img2img', {
    ...(await initial()),
    override_settings: { img2img_color_correction: true },
  });
  assert.ok(plain.images[0] && corrected.images[0]);
  assert.notDeepEqual(corrected.images[0].data, plain.images[0].data);
  assert.match(corrected.info.infotexts[0] ?? '', /Color correction: True/);
});

test('script-info lists the arguments of each script', async () => {
  const { body } = await server.json('GET', '/sdapi/v1/script-info');
  const rows = body as { name: string; is_img2img: boolean; args: { label: string; value: unknown }[] }[];
  const mk2 = rows.find(({ name }) => name === 'outpainting mk2');
  assert.equal(mk2?.is_img2img, true);
  assert.deepEqual(
    mk2?.args.map(({ value }) => value),
    ['', 128, 8, ['left', 'right', 'up', 'down'], 1, 0.05],
  );
});
