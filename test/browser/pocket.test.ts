/** The library in headless Chromium: the pocket model's picture is Node's, on the page's thread and in a worker, on WASM and WebGPU. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import { recordSchema } from '../../src/generation/record.ts';
import type { TextToImageOptions } from '../../src/generation/inputs.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { resultOf } from '../pipelines/result.ts';
import { type PageResult, runInPage, withoutBrowser } from '../engine/browser.ts';
import { assertWithin } from '../parity.ts';
import { writeSmallModel } from './small-model.ts';
import { leastRun, pocketRun, smallRun } from './pocket-run.ts';

interface Picture {
  readonly latents: readonly number[];
  readonly pixels: readonly number[];
}

interface WorkerPicture extends Picture {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly events: number;
  readonly ticks: number;
  readonly png: readonly number[];
  readonly steps: number;
  readonly previews: number;
  readonly lastShare: number;
  readonly cancelled: { readonly steps: number };
}

const files = { '/pocket.safetensors': pocketModel, '/pocket.yaml': join(pocketModel, '../pocket.yaml') };
const options = { files, scripts: { '/worker.js': 'test/browser/worker.ts' } };

const engine = createNodeEngine({ threads: 1 });

async function inNode(path: string, run: TextToImageOptions): Promise<Picture> {
  await using model = await loadModel(path, { engine });
  const { latents, images } = await resultOf(textToImage(model, run));
  return { latents: [...latents.data], pixels: [...(images[0]?.image.data ?? [])] };
}

const largest = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? Number.NaN))), 0);

async function compare(
  where: string,
  run: TextToImageOptions,
  got: Picture,
  tolerance: number,
  path = pocketModel,
): Promise<void> {
  const node = await inNode(path, run);
  assert.equal(got.latents.length, node.latents.length);
  assert.equal(got.pixels.length, node.pixels.length);
  const row = {
    part: 'browser',
    case: `${path === pocketModel ? 'pocket' : 'small'} model, ${run.width ?? 128} x ${run.height ?? 128}, ${run.steps} steps, ${where}`,
    reference: "this program in Node (ONNX Runtime's CPU provider)",
  };
  assertWithin({ ...row, output: 'latents', error: largest(got.latents, node.latents), tolerance });
  assertWithin({ ...row, output: 'PNG: levels', error: largest(got.pixels, node.pixels), tolerance: 1 });
}

function value<T>(results: readonly PageResult[], name: string): T {
  const result = results.find((candidate) => candidate.name === name);
  assert.equal(result?.error, undefined, name);
  return result?.value as T;
}

test('WASM: the pocket model makes the same picture as in Node', { skip: withoutBrowser }, async (t) => {
  const results = await runInPage('test/browser/pocket-page.ts', options);

  await t.test("on the page's thread, read by range from a URL, with its YAML", () =>
    compare('WASM', smallRun, value<Picture>(results, 'onPage'), 1e-4),
  );

  await t.test('in a worker, from a Blob, with the page free meanwhile', async () => {
    const got = value<WorkerPicture>(results, 'inWorker');
    await compare('WASM in a worker', pocketRun, got, 1e-4);
    assert.equal(got.steps, pocketRun.steps);
    assert.ok(got.previews >= 1, 'no preview');
    assert.equal(got.lastShare, 1);
    // A page that computed itself would come to its clock once an event, when the pipeline lets others run.
    assert.ok(got.ticks > 2 * got.events, `${got.ticks} ticks of the page's clock, ${got.events} events`);
    const { kind, nativeSize, sizeUnit, takesPrompt, provider } = got.facts;
    assert.deepEqual(
      { kind, nativeSize, sizeUnit, takesPrompt, provider },
      { kind: 'txt2img', nativeSize: 128, sizeUnit: 32, takesPrompt: true, provider: 'wasm' },
    );
    const png = Uint8Array.from(got.png);
    assert.equal(largest([...(await nodeImageCodec.decode(png)).data], got.pixels), 0);
    assert.equal(recordSchema.parse(readImageMetadata(png).record).prompt, pocketRun.prompt);
  });

  await t.test('is cancelled between steps, works afterwards, and refuses what is not there', () => {
    const { steps, ...rest } = value<WorkerPicture>(results, 'inWorker').cancelled;
    assert.ok(steps >= 2, `${steps} of 500 steps`);
    assert.deepEqual(rest, { code: 'aborted', again: 1, refused: 'file-not-found' });
  });
});

test('WebGPU (software driver): a small model makes the same picture as in Node', {
  skip: withoutBrowser,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-small-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { model, config } = await writeSmallModel(folder);
  const results = await runInPage('test/browser/pocket-page.ts', {
    ...options,
    files: { '/pocket.safetensors': model, '/pocket.yaml': config },
    query: '?provider=webgpu',
    webgpu: true,
  });
  const [only] = results;
  if (only?.code === 'engine-unavailable') return t.skip(`Chromium offers no WebGPU adapter here: ${only.error}`);
  await compare('WebGPU (SwiftShader)', leastRun, value<Picture>(results, 'onPage'), 1e-3, model);
});
