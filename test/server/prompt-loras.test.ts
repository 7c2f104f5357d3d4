/** LoRAs in prompts as A1111 v1.10.1 takes them: named twice, by their alias, with strengths that are no numbers, and what is left out. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { writeStyleLora } from '../style-lora.ts';
import { base64Png, decode, png, startTestServer, type TestServer, testImage } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-loras-'));
let server: TestServer;
before(async () => {
  mkdirSync(join(folder, 'people'));
  await writeStyleLora(join(folder, 'people/file.safetensors'), 'my-style');
  writeFileSync(join(folder, 'people/file.json'), '{"activation text": "red hat, smile", "preferred weight": 0.7}');
  writeFileSync(join(folder, 'people/file.civitai.info'), '{"trainedWords": ["smile", "blue eyes"]}');
  writeFileSync(join(folder, 'people/file.preview.png'), await png(testImage(16, 16)));
  server = await startTestServer({ lorasFolder: folder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { width: 64, height: 64, steps: 2, seed: 1 };
interface Made {
  readonly pixels: Uint8Array;
  readonly warnings: readonly string[];
}

async function make(prompt: string): Promise<Made> {
  const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', { ...small, prompt });
  assert.equal(status, 200, JSON.stringify(body));
  const { images, info } = body as { images: string[]; info: string };
  return {
    pixels: (await decode(images[0] ?? '')).data,
    warnings: (JSON.parse(info) as { warnings: string[] }).warnings,
  };
}

function greatestDifference(a: Uint8Array, b: Uint8Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? 0))), 0);
}

test('a LoRA that is named twice is applied twice, with the last strengths', async () => {
  const { pixels: once } = await make('face<lora:file:1>');
  // Two halves are added in another order than one whole: a value may round to the next level.
  assert.ok(greatestDifference((await make('face<lora:file:0.5><lora:file:0.5>')).pixels, once) <= 1);
  const twice = (await make('face<lora:file:0.9> <lora:file:0.5>')).pixels;
  assert.ok(greatestDifference(twice, (await make('face<lora:file:1> ')).pixels) <= 1);
  assert.ok(greatestDifference((await make('face')).pixels, once) > 1);
});

test('by the name it was trained under, and with digits of other scripts', async () => {
  const { pixels, warnings } = await make('face<lora:file:0.5>');
  assert.deepEqual((await make('face<lora:my-style:0.5>')).pixels, pixels);
  assert.deepEqual((await make('face<lora:file:０.５>')).pixels, pixels);
  assert.deepEqual(warnings, []);
});

test('what is left out is told', async () => {
  const { pixels } = await make('face');
  for (const [prompt, warning] of [
    ['face<lora:nosuch:1>', /^Lora not found: nosuch$/],
    ['face<lora:file:abc>', /file:abc.*not a number/],
    ['face<hypernet:x:1>', /^Hypernetwork not found: x$/],
  ] as const) {
    const made = await make(prompt);
    assert.deepEqual(made.pixels, pixels, prompt);
    assert.equal(made.warnings.length, 1);
    assert.match(made.warnings[0] ?? '', warning);
  }
  const job = await server.json('POST', '/api/v1/jobs', { ...small, prompt: 'face<lora:nosuch:1>' });
  assert.deepEqual((job.body as { warnings: string[] }).warnings, ['Lora not found: nosuch']);
});

test('the list of LoRAs: alias, texts of the file, trigger words, advised strength, preview', async () => {
  const rows = (await server.json('GET', '/sdapi/v1/loras')).body as { alias: string; metadata: object }[];
  assert.deepEqual(
    rows.map(({ alias, metadata }) => [alias, 'ss_output_name' in metadata && metadata.ss_output_name]),
    [['my-style', 'my-style']],
  );
  const { loras } = (await server.json('GET', '/api/v1/adapters')).body as { loras: { preview: string }[] };
  const [{ preview, ...lora } = { preview: '' }] = loras;
  assert.deepEqual(lora, {
    name: 'file',
    alias: 'my-style',
    triggerWords: ['red hat', 'smile', 'blue eyes'],
    preferredWeight: 0.7,
  });
  const answer = await fetch(server.url + preview);
  assert.equal(answer.headers.get('content-type'), 'image/png');
  assert.equal(Buffer.from(await answer.arrayBuffer()).toString('base64'), await base64Png(testImage(16, 16)));
  assert.equal((await fetch(`${server.url}/api/v1/adapters/preview?kind=lora&name=../file`)).status, 404);
});
