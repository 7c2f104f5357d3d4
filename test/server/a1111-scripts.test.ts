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

test('an X/Y/Z plot is a grid with a legend, and each cell is the picture of its values', async () => {
  const axes = (isText: boolean) => [
    ...[4, isText ? '1-2' : '1, 2', ''],
    ...[6, '2-8 [2]', ''],
    ...[0, '', ''],
    ...[true, true, false, false, false, false, false, 0, true],
  ];
  const { images, info } = await make('txt2img', { ...small, script_name: 'x/y/z plot', script_args: axes(true) });
  assert.equal(images.length, 5);
  const [grid, , cell] = images;
  assert.ok(grid && cell);
  assert.ok(grid.width === 2 * 64 + 48 && grid.height > 128, `${grid.width} x ${grid.height}`);
  const alone = (await make('txt2img', { ...small, steps: 2, cfg_scale: 2 })).images[0];
  assert.deepEqual(cell.data, alone?.data);
  assert.equal(difference(grid, [48 + 64, grid.height - 128], cell), 0);
  assert.equal(info.index_of_first_image, 1);
  assert.match(info.infotexts[0] ?? '', /Script: X\/Y\/Z plot, X Type: Steps, X Values: 1-2, Y Type: CFG Scale/);
  const { images: same } = await make('txt2img', { ...small, script_name: 'X/Y/Z plot', script_args: axes(false) });
  assert.deepEqual(same[0]?.data, grid.data);
});

test('axes put words, names and sizes into requests, and sub-grids come for each value of z', async () => {
  const plot = (first: readonly unknown[], more: readonly unknown[] = [0, '', '']) => ({
    ...small,
    steps: 1,
    script_name: 'X/Y/Z plot',
    script_args: [...first, 0, '', '', ...more, true, true, true, false, 0],
  });
  const words = await make('txt2img', plot(['Prompt S/R', 'apple, heart', '']));
  assert.deepEqual(
    words.info.infotexts.slice(2).map((text) => text.split('\n')[0]),
    ['a red apple', 'a red heart'],
  );
  const order = await make('txt2img', plot(['Prompt order', 'red, apple', '']));
  assert.deepEqual(
    order.info.infotexts.slice(2).map((text) => text.split('\n')[0]),
    ['a red apple', 'a apple red'],
  );
  const samplers = await make('txt2img', plot(['Sampler', '', ['Euler', 'DDIM']], ['Seed', '5,6', '']));
  assert.equal(samplers.images.length, 1 + 2 + 4);
  assert.deepEqual(samplers.info.all_seeds.slice(3), [5, 5, 6, 6]);
});

test('a prompt matrix has a picture for each combination, and lines their own settings', async () => {
  const matrix = await make('txt2img', { ...small, prompt: 'a face|smiling|red', script_name: 'Prompt matrix' });
  assert.equal(matrix.images.length, 5);
  assert.deepEqual(
    matrix.info.infotexts.slice(1).map((text) => text.split('\n')[0]),
    ['a face', 'a face, smiling', 'a face, red', 'a face, smiling, red'],
  );
  const text = 'a heart\n\n--prompt "a star" bright --steps 1 --seed 9\n--nonsense 3';
  const lines = await make('txt2img', {
    ...small,
    prompt: '',
    script_name: 'Prompts from file or textbox',
    script_args: [true, false, 'start', text],
  });
  assert.deepEqual(
    lines.info.infotexts.map((one) => one.split('\n')[0]),
    ['a heart', 'a star bright', '--nonsense 3'],
  );
  assert.deepEqual(lines.info.all_seeds, [7, 9, 9]);
});

test('loopback goes on from its own picture, and SD upscale paints the tiles of an enlarged one', async () => {
  const loop = await make('img2img', {
    ...(await initial()),
    script_name: 'Loopback',
    script_args: [2, 0.4, 'Linear'],
  });
  assert.equal(loop.images.length, 3);
  const second = await make('img2img', {
    ...(await initial()),
    init_images: [await base64Png(loop.images[1] as Image)],
    seed: 8,
    denoising_strength: 0.4,
  });
  assert.deepEqual(loop.images[2]?.data, second.images[0]?.data);
  const large = await make('img2img', {
    ...(await initial()),
    script_name: 'SD upscale',
    script_args: ['', 32, 'Lanczos', 2],
  });
  assert.deepEqual([large.images[0]?.width, large.images[0]?.height], [128, 128]);
  assert.match(large.info.infotexts[0] ?? '', /SD upscale overlap: 32/);
});

test('a script that asks for more jobs than allowed is refused before it describes them or cuts a picture into tiles', async () => {
  const source = await base64Png(testImage(512, 512));
  for (const [more, args] of [
    [{ script_name: 'Loopback', n_iter: 2 ** 50 }, [32, 0.4, 'Linear']],
    [{ script_name: 'SD upscale' }, ['', 63, 'Lanczos', 4]],
    [{ script_name: 'SD upscale', n_iter: 2 ** 50 }, ['', 0, 'Lanczos', 1]],
  ] as const) {
    const body = { ...small, init_images: [source], ...more, script_args: args };
    const answer = await server.json('POST', '/sdapi/v1/img2img', body);
    assert.equal(answer.status, 422, JSON.stringify(answer.body).slice(0, 300));
    assert.match(JSON.stringify(answer.body), /ensure that there are at most 256/);
  }
});

test('a plot beyond the limits, with an unknown axis or a wrong value is refused before any work', async () => {
  const refused = async (args: readonly unknown[]): Promise<string> => {
    const answer = await server.json('POST', '/sdapi/v1/txt2img', {
      ...small,
      script_name: 'X/Y/Z plot',
      script_args: args,
    });
    assert.ok(answer.status === 422 || answer.status === 413, String(answer.status));
    return JSON.stringify(answer.body);
  };
  assert.match(await refused([1, '1-900', '']), /at most 256/);
  assert.match(await refused([1, '1-100000000', '']), /at most 1000/);
  assert.match(await refused(['VAE', 'x', '']), /no axis VAE/);
  assert.match(await refused(['Steps', 'many', '']), /not a whole number/);
  assert.match(await refused(['Prompt S/R', 'pear, plum', '']), /did not find/);
});
