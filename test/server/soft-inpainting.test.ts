/** A1111's script "Soft inpainting" and the same settings in a job. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
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

const [width, height] = [96, 64];
const source = testImage(width, height);
const asked = async () => ({
  prompt: 'a red apple',
  steps: 3,
  seed: 7,
  width: 64,
  height,
  init_images: [await base64Png(source)],
  mask: await base64Png(testImage(width, height, 'mask')),
  denoising_strength: 0.9,
  inpainting_fill: 1,
});

async function make(script: unknown, more: object = {}) {
  const body = { ...(await asked()), ...more, ...(script ? { alwayson_scripts: { 'Soft Inpainting': script } } : {}) };
  return server.json('POST', '/sdapi/v1/img2img', body);
}

async function pixels(script: unknown, more: object = {}) {
  const { status, body } = await make(script, more);
  assert.equal(status, 200, JSON.stringify(body).slice(0, 300));
  const { images, info } = body as Generation;
  return {
    image: await decode(images[0] ?? ''),
    infotext: (JSON.parse(info) as { infotexts: string[] }).infotexts[0] ?? '',
  };
}

test('the script paints softly, for the whole picture and for the masked part, and writes its settings', async () => {
  for (const more of [
    { inpaint_full_res: false, width },
    { inpaint_full_res: true, inpaint_full_res_padding: 8 },
  ]) {
    const plain = await pixels(undefined, more);
    const off = await pixels({ args: [false, 2] }, more);
    const soft = await pixels({ args: [true, 1, 0.5, 4, 0, 0.5, 2] }, more);
    assert.deepEqual(off.image.data, plain.image.data);
    assert.deepEqual(
      (await pixels({ args: [true] }, more)).image.data,
      soft.image.data,
      'missing arguments are the defaults',
    );
    assert.notDeepEqual(soft.image.data, plain.image.data);
    assert.deepEqual([soft.image.width, soft.image.height], [width, height]);
    assert.doesNotMatch(plain.infotext, /Soft inpainting/);
    assert.match(
      soft.infotext,
      /Soft inpainting enabled: True, Soft inpainting schedule bias: 1, Soft inpainting preservation strength: 0.5, Soft inpainting transition contrast boost: 4, Soft inpainting mask influence: 0, Soft inpainting difference threshold: 0.5, Soft inpainting difference contrast: 2/,
    );
  }
});

test('a threshold that no change reaches leaves the original, and one of almost 0 the result', async () => {
  const whole = { inpaint_full_res: false, width };
  const distance = async (threshold: number): Promise<number> => {
    const { image } = await pixels({ args: [true, 1, 0.5, 4, 0, threshold, 8] }, whole);
    return (
      image.data.reduce((sum, value, i) => sum + Math.abs(value - (source.data[i] as number)), 0) / image.data.length
    );
  };
  const [none, much] = [await distance(8), await distance(0.001)];
  assert.ok(none < much / 2, `${none} and ${much}`);
});

test('arguments beyond their range, and samplers without noise levels, are refused by name', async () => {
  for (const [args, at, words] of [
    [[true, 9], 1, /schedule bias/],
    [[true, 1, 0.5, 4, 2], 4, /mask influence/],
    [['yes'], 0, /true or false/],
  ] as const) {
    const { status, body } = await make({ args });
    assert.equal(status, 422);
    const [problem] = (body as { detail: { loc: unknown[]; msg: string }[] }).detail;
    assert.deepEqual(problem?.loc, ['body', 'alwayson_scripts', 'Soft Inpainting', 'args', at]);
    assert.match(problem?.msg ?? '', words);
  }
  const { status, body } = await make({ args: [true] }, { sampler_name: 'DDIM' });
  assert.notEqual(status, 200);
  assert.match(JSON.stringify(body), /DDIM sampler does no soft inpainting/);
});
