/** Options of A1111 that a request or its caller sets: those with an effect have A1111's, the others are named in the answer. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { unusedOptions } from '../../src/server/routes/a1111/unused-options.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
let picture: string;
before(async () => {
  server = await startTestServer();
  picture = await base64Png(testImage(64, 64));
});
after(() => server.stop());

const small = { prompt: 'x', steps: 4, width: 64, height: 64, seed: 1, sampler_name: 'Euler' };

interface Made {
  readonly images: readonly string[];
  readonly warnings: readonly string[];
}

async function make(route: 'txt2img' | 'img2img', fields: object): Promise<Made> {
  const init = route === 'img2img' ? { init_images: [picture], denoising_strength: 0.5 } : {};
  const { status, body } = await server.json('POST', `/sdapi/v1/${route}`, { ...small, ...init, ...fields });
  assert.equal(status, 200, JSON.stringify(body));
  const { images, info } = body as { images: string[]; info: string };
  return { images, warnings: (JSON.parse(info) as { warnings: string[] }).warnings };
}

test('every option that changes pictures there and not here is named, whether of the request or of the caller', async () => {
  const other = (value: string | number | boolean): string | number | boolean =>
    typeof value === 'boolean' ? !value : typeof value === 'number' ? value + 1 : 'other';
  const set = Object.fromEntries(
    Object.entries(unusedOptions).map(([name, value]) => [name, other(value as string | number | boolean)]),
  );
  const { warnings } = await make('txt2img', { override_settings: set });
  assert.deepEqual(
    warnings,
    Object.keys(set).map((name) => `the option ${name} is not supported by this server and was left out.`),
  );
  assert.deepEqual((await make('txt2img', { override_settings: unusedOptions })).warnings, []);

  await server.json('POST', '/sdapi/v1/options', { sgm_noise_multiplier: true, sd_vae: 'x.safetensors' });
  assert.deepEqual((await make('txt2img', {})).warnings, [
    "Couldn't find VAE named x.safetensors; using None instead",
    'the option sgm_noise_multiplier is not supported by this server and was left out.',
  ]);
  await server.json('POST', '/sdapi/v1/options', { sgm_noise_multiplier: false, sd_vae: 'Automatic' });
  assert.deepEqual((await make('txt2img', {})).warnings, []);
});

test("img2img_fix_steps runs all steps, as A1111's second pass does", async () => {
  const plain = await make('img2img', {});
  const fixed = await make('img2img', { override_settings: { img2img_fix_steps: true } });
  // The last 4 of int(4 / 0.5) = 8 steps: those that 8 steps at 0.4 run, int(0.4 x 8) + 1.
  const longer = await make('img2img', { steps: 8, denoising_strength: 0.4 });
  const pixels = (made: Made) => decode(made.images[0] ?? '').then(({ data }) => Buffer.from(data).toString('hex'));
  assert.equal(await pixels(fixed), await pixels(longer));
  assert.notEqual(await pixels(fixed), await pixels(plain));
});

test('a size that the model cannot make is named with the one that it became, also of hires. fix', async () => {
  const cut = await make('txt2img', { width: 100, height: 70 });
  assert.deepEqual(cut.warnings, ['The size 100 x 70 became 96 x 64: this model makes multiples of 32.']);
  const { width, height } = await decode(cut.images[0] ?? '');
  assert.deepEqual([width, height], [96, 64]);
  const second = await make('txt2img', { enable_hr: true, hr_scale: 1.1, hr_upscaler: 'Lanczos' });
  assert.deepEqual(second.warnings, [
    'The size 70 x 70 of hires. fix became 96 x 96: this model makes multiples of 32.',
  ]);
  assert.deepEqual((await make('txt2img', { enable_hr: true, hr_scale: 2, hr_upscaler: 'Lanczos' })).warnings, []);
});

test('options of the caller hold like those of the request: tiling', async () => {
  const own = await make('txt2img', { tiling: true });
  await server.json('POST', '/sdapi/v1/options', { tiling: true });
  assert.equal((await make('txt2img', {})).images[0], own.images[0]);
  await server.json('POST', '/sdapi/v1/options', { tiling: false });
  assert.notEqual((await make('txt2img', {})).images[0], own.images[0]);
});
