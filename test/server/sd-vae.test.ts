/** A1111's options that change pictures through what they start from: `sd_vae`, `initial_noise_multiplier`, `img2img_background_color`. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { createImage } from '../../src/image/image.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { zeros } from '../../src/tensor/tensor.ts';
import { withNames } from '../../src/weights/view.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

const root = mkdtempSync(join(tmpdir(), 'sd-vae-'));
const prefix = 'first_stage_model.';

/** The tensors of the bundled model under other names. */
async function cut(path: string, rename: (name: string) => string | undefined): Promise<void> {
  const source = await openWeightsAt(pocketModel);
  const part = withNames(source, rename);
  const read = ({ name }: { readonly name: string }) => part.read(name);
  await writeNewFile(path, writeSafetensors(part.entries.values(), read));
  await source.close();
}

/** The bundled model's autoencoder, whose pictures are 0 everywhere: mid grey. */
async function greyVae(path: string): Promise<void> {
  const source = await openWeightsAt(pocketModel);
  const part = withNames(source, (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : undefined));
  const read = async ({ name }: { readonly name: string }) => {
    const tensor = await part.read(name);
    return name.startsWith('decoder.conv_out.') ? zeros(tensor.dtype, tensor.shape) : tensor;
  };
  await writeNewFile(path, writeSafetensors(part.entries.values(), read));
  await source.close();
}

let server: TestServer;
before(async () => {
  for (const name of ['vaes/sub', 'models']) mkdirSync(join(root, name), { recursive: true });
  await greyVae(join(root, 'vaes/sub/grey.vae.safetensors'));
  await cut(join(root, 'models/no-vae.safetensors'), (name) => (name.startsWith(prefix) ? undefined : name));
  copyFileSync(pocketModel.replace(/safetensors$/, 'yaml'), join(root, 'models/no-vae.yaml'));
  server = await startTestServer({ vaesFolder: join(root, 'vaes'), modelsFolder: join(root, 'models') });
});
after(async () => {
  await server.stop();
  rmSync(root, { recursive: true, force: true });
});

const small = { prompt: 'x', steps: 2, width: 64, height: 64, seed: 1, sampler_name: 'Euler' };

async function make(route: 'txt2img' | 'img2img', fields: object) {
  const { status, body } = await server.json('POST', `/sdapi/v1/${route}`, { ...small, ...fields });
  assert.equal(status, 200, JSON.stringify(body));
  const { images, info } = body as { images: string[]; info: string };
  const { data } = await decode(images[0] ?? '');
  const facts = JSON.parse(info) as { warnings: string[]; infotexts: string[]; sd_vae_name: string | null };
  return { data: Buffer.from(data), ...facts };
}
const isGrey = ({ data }: { readonly data: Buffer }): boolean => data.every((value) => value === 127 || value === 128);

test('sd_vae: listed, by name with or without its ending, of the request and of the caller', async () => {
  assert.deepEqual((await server.json('GET', '/sdapi/v1/sd-vae')).body, [
    { model_name: 'grey.vae.safetensors', filename: 'sub/grey.vae.safetensors' },
  ]);
  const plain = await make('txt2img', {});
  assert.equal(isGrey(plain), false);
  assert.equal(plain.sd_vae_name, null);
  for (const name of ['grey.vae.safetensors', 'grey.vae', 'sub/grey.vae.safetensors', 'sub\\grey.vae']) {
    const other = await make('txt2img', { override_settings: { sd_vae: name } });
    assert.ok(isGrey(other), name);
    assert.deepEqual(other.warnings, []);
    assert.equal(other.sd_vae_name, 'grey.vae.safetensors');
    assert.match(other.infotexts[0] ?? '', /, VAE: grey\.vae\.safetensors,/);
  }
  await server.json('POST', '/sdapi/v1/options', { sd_vae: 'grey.vae.safetensors' });
  assert.ok(isGrey(await make('txt2img', {})));
  assert.equal(isGrey(await make('txt2img', { override_settings: { sd_vae: 'Automatic' } })), false);
  await server.json('POST', '/sdapi/v1/options', { sd_vae: 'None' });
  assert.deepEqual((await make('txt2img', {})).data, plain.data);
  // Also for the second pass of hires. fix.
  const enlarged = { enable_hr: true, hr_scale: 2, hr_upscaler: 'Lanczos', override_settings: { sd_vae: 'grey.vae' } };
  assert.ok(isGrey(await make('txt2img', enlarged)));
});

test('a name that there is not is passed over with a line, as there', async () => {
  const { warnings, data } = await make('txt2img', { override_settings: { sd_vae: '../models/x.pt' } });
  assert.deepEqual(warnings, ["Couldn't find VAE named ../models/x.pt; using None instead"]);
  assert.deepEqual(data, (await make('txt2img', {})).data);
});

test('a model that was saved without an autoencoder makes pictures with one, and is refused without', async () => {
  const wanted = { ...small, override_settings: { sd_model_checkpoint: 'no-vae' } };
  assert.equal((await server.json('POST', '/sdapi/v1/txt2img', wanted)).status, 422);
  assert.ok(
    isGrey(await make('txt2img', { override_settings: { sd_model_checkpoint: 'no-vae', sd_vae: 'grey.vae' } })),
  );
});

test('initial_noise_multiplier: of the field, of the option, and in the settings text', async () => {
  const init = { init_images: [await base64Png(testImage(64, 64))], denoising_strength: 0.8 };
  const plain = await make('img2img', init);
  assert.deepEqual((await make('img2img', { ...init, initial_noise_multiplier: 1 })).data, plain.data);
  const less = await make('img2img', { ...init, initial_noise_multiplier: 0.5 });
  assert.notDeepEqual(less.data, plain.data);
  assert.deepEqual(less.warnings, []);
  assert.match(less.infotexts[0] ?? '', /, Noise multiplier: 0\.5,/);
  const byOption = await make('img2img', { ...init, override_settings: { initial_noise_multiplier: 0.5 } });
  assert.deepEqual(byOption.data, less.data);
  const told = await make('img2img', { ...init, infotext: less.infotexts[0] });
  assert.deepEqual(told.data, less.data);
  const wrong = await server.json('POST', '/sdapi/v1/img2img', { ...small, ...init, initial_noise_multiplier: -1 });
  assert.equal(wrong.status, 422);
});

test('img2img_background_color lies behind transparent parts', async () => {
  const clear = createImage(64, 64, 4);
  const green = createImage(64, 64, 3);
  for (let i = 0; i < green.data.length; i += 3) green.data.set([0, 255, 0], i);
  const strength = { denoising_strength: 0.1, steps: 4 };
  const onGreen = await make('img2img', { ...strength, init_images: [await base64Png(green)] });
  const init = { ...strength, init_images: [await base64Png(clear)] };
  for (const colour of ['#00ff00', '#0F0'])
    assert.deepEqual(
      (await make('img2img', { ...init, override_settings: { img2img_background_color: colour } })).data,
      onGreen.data,
    );
  assert.notDeepEqual((await make('img2img', init)).data, onGreen.data);
  const mask = { mask: await base64Png(testImage(64, 64, 'mask')) };
  assert.deepEqual(
    (await make('img2img', { ...init, ...mask, override_settings: { img2img_background_color: '#00ff00' } })).data,
    (await make('img2img', { ...strength, init_images: [await base64Png(green)], ...mask })).data,
  );
  const wrong = await server.json('POST', '/sdapi/v1/options', { img2img_background_color: 'url(x)' });
  assert.equal(wrong.status, 422);
});
