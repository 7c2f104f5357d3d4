/** What A1111's clients send beyond a prompt: styles, several initial pictures, latent upscalers, LoRAs by blocks. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { resolveDynamicPrompt } from '../../src/prompt/dynamic-prompt.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-styles-'));
const stylesFile = join(folder, 'styles.csv');
let server: TestServer;
before(async () => {
  writeFileSync(stylesFile, 'name,prompt,negative_prompt\nink,"ink drawing of {prompt}, fine",colour\n');
  writeFileSync(join(folder, 'animal.txt'), 'cat\ndog\nhorse\n');
  server = await startTestServer({ stylesFile, wildcardsFolder: folder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}
const small = { prompt: 'a cat', width: 64, height: 64, steps: 2, seed: 5, sampler_name: 'Euler', cfg_scale: 4 };

async function ask(
  path: 'txt2img' | 'img2img',
  body: object,
): Promise<Generation & { readonly facts: Record<string, unknown> }> {
  const answer = await server.json('POST', `/sdapi/v1/${path}`, { ...small, ...body });
  assert.equal(answer.status, 200, JSON.stringify(answer.body).slice(0, 500));
  const made: Generation = answer.body;
  return { ...made, facts: JSON.parse(made.info) as Record<string, unknown> };
}
const pixels = async (text: string | undefined): Promise<Uint8Array> => (await decode(text ?? '')).data;

test('styles are listed, and applied to prompts', async () => {
  const { body } = await server.json('GET', '/sdapi/v1/prompt-styles');
  assert.deepEqual(body, [{ name: 'ink', prompt: 'ink drawing of {prompt}, fine', negative_prompt: 'colour' }]);
  const { facts } = await ask('txt2img', { styles: ['ink', 'gone'], negative_prompt: 'bad' });
  assert.equal(facts['prompt'], 'ink drawing of a cat, fine');
  assert.equal(facts['negative_prompt'], 'bad, colour');
  assert.deepEqual(facts['warnings'], ['the style gone is not supported by this server and was left out.']);
});

test('each picture of a batch starts from its own initial picture', async () => {
  const [a, b] = [await base64Png(testImage(64, 64)), await base64Png(testImage(64, 64, 'mask'))];
  const body = { denoising_strength: 0.5, batch_size: 2, n_iter: 2 };
  const { images } = await ask('img2img', { ...body, init_images: [a, b] });
  assert.equal(images.length, 4);
  const alone = await ask('img2img', { denoising_strength: 0.5, init_images: [b], seed: 6 });
  assert.deepEqual(await pixels(images[1]), await pixels(alone.images[0]));
  const first = await ask('img2img', { denoising_strength: 0.5, init_images: [a], seed: 7 });
  assert.deepEqual(await pixels(images[2]), await pixels(first.images[0]));
  const wrong = await server.json('POST', '/sdapi/v1/img2img', { ...small, init_images: [a, b] });
  assert.equal(wrong.status, 422);
  assert.match(JSON.stringify(wrong.body), /bad number of images passed: 2; expecting 1 or less/);
});

test('the latent upscalers of hires. fix enlarge the latent', async () => {
  const hires = { enable_hr: true, hr_scale: 2, denoising_strength: 0.6 };
  const made = new Map<string, Uint8Array>();
  for (const hr_upscaler of ['Latent', 'Latent (nearest)', 'Latent (bicubic antialiased)', 'Lanczos'])
    made.set(hr_upscaler, await pixels((await ask('txt2img', { ...hires, hr_upscaler })).images[0]));
  assert.equal(new Set([...made.values()].map((data) => data.join())).size, 4);
  const cut = await ask('txt2img', { ...hires, hr_upscaler: 'Latent', hr_resize_x: 128, hr_resize_y: 192 });
  const { width, height } = await decode(cut.images[0] ?? '');
  assert.deepEqual([width, height], [128, 192]);
});

test('factors of a LoRA’s blocks are read, and refused where they are wrong', async () => {
  const { facts } = await ask('txt2img', { prompt: 'a cat <lora:gone:1:lbw=MIDD>' });
  assert.deepEqual(facts['warnings'], ['Lora not found: gone']);
  const wrong = await server.json('POST', '/sdapi/v1/txt2img', { ...small, prompt: 'a <lora:x:1:lbw=1,2>' });
  assert.equal(wrong.status, 422);
  assert.match(JSON.stringify(wrong.body), /17 or 26 numbers/);
});

test('dynamic prompts: each picture has its own, by its seed, in jobs and by the script of the extension', async () => {
  const template = 'a {red|blue|green|grey} __animal__';
  const animals = ['cat', 'dog', 'horse'];
  const wanted = [5, 6, 7].map((seed) => resolveDynamicPrompt(template, seed, () => animals));
  assert.ok(new Set(wanted).size > 1);
  const script = (...args: unknown[]) => ({ alwayson_scripts: { 'Dynamic Prompts v2.17.1': { args } } });
  const { facts } = await ask('txt2img', { prompt: template, steps: 1, batch_size: 3, ...script(true) });
  assert.deepEqual(facts['all_prompts'], wanted);
  const off = await ask('txt2img', { prompt: template, steps: 1, ...script(false) });
  assert.equal(off.facts['prompt'], template);
  const job = { prompt: template, steps: 1, width: 64, height: 64, seed: 5, batchSize: 3, dynamicPrompts: true };
  const accepted = await server.json('POST', '/api/v1/jobs', job);
  assert.equal(accepted.status, 202, JSON.stringify(accepted.body));
  assert.equal((accepted.body as { request: { prompt: string } }).request.prompt, wanted[0]);
  for (const [path, body, message] of [
    ['/sdapi/v1/txt2img', { ...small, ...script(true, true) }, /combinatorial generation: not supported/],
    ['/api/v1/jobs', { ...job, prompt: 'a {red' }, /dynamic prompt cannot be read at its end/],
  ] as const) {
    const refused = await server.json('POST', path, body);
    assert.equal(refused.status, 422);
    assert.match(JSON.stringify(refused.body), message);
  }
});

test('a seed beyond 2^53 may be a number, as Python writes it', async () => {
  const told = async (path: string, field: string): Promise<string> => {
    const body = `{"prompt":"x","steps":1,"width":64,"height":64,"size":"64x64","${field}": 18446744073709551600}`;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(server.url + path, { method: 'POST', headers, body });
    assert.ok(response.ok, path);
    return response.text();
  };
  assert.match(await told('/sdapi/v1/txt2img', 'seed'), /18446744073709551600/);
  assert.match(await told('/api/v1/jobs', 'seed'), /"seed":"18446744073709551600"/);
  await told('/v1/images/generations', 'seed');
});
