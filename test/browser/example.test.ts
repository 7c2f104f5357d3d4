/** The example page makes a picture in headless Chromium, and it is the one that Node makes. */

import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveExample } from '../../examples/browser/serve.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { loadModel, pocketModel } from '../../src/model/load-model-node.ts';
import { recordSchema } from '../../src/generation/record.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { resultOf } from '../pipelines/result.ts';
import { launchBrowser, withoutBrowser } from '../engine/browser.ts';
import { assertWithin } from '../parity.ts';

test('examples/browser: a plain page makes the picture that Node makes', { skip: withoutBrowser }, async () => {
  const server = await serveExample(0, join(import.meta.dirname, '../../src/index-web.ts'));
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    // A machine with other work may take minutes; a page that has failed is told by its error.
    page.setDefaultTimeout(300_000);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('document.querySelector("#form").onsubmit !== null');
    await page.fill('[name=steps]', '6');
    await page.fill('[name=seed]', '42');
    await page.click('button');
    await page.waitForFunction('document.querySelector("#state").textContent === "done"');
    const screenshot = process.env['SD_SCREENSHOT'];
    if (screenshot) await page.screenshot({ path: screenshot });
    const png = Uint8Array.from(
      (await page.evaluate(
        'fetch(picture.src).then((file) => file.arrayBuffer()).then((bytes) => [...new Uint8Array(bytes)])',
      )) as number[],
    );
    assert.deepEqual(problems, []);

    const record = recordSchema.parse(readImageMetadata(png).record);
    assert.deepEqual(
      [record.width, record.height, record.steps, record.seed, record.prompt],
      [128, 128, 6, 42, 'red apple'],
    );
    const shown = await nodeImageCodec.decode(png);
    await using engine = createNodeEngine({ threads: 1 });
    await using model = await loadModel(pocketModel, { engine });
    const { images } = await resultOf(
      textToImage(model, { prompt: 'red apple', steps: 6, guidanceScale: 5, seed: 42 }),
    );
    const node = images[0]?.image.data ?? new Uint8Array();
    assert.equal(shown.data.length, node.length);
    const error = node.reduce((most, level, i) => Math.max(most, Math.abs(level - (shown.data[i] ?? Number.NaN))), 0);
    assertWithin({
      part: 'browser',
      case: "the example page's picture, pocket model, 6 steps, WASM",
      reference: "this program in Node (ONNX Runtime's CPU provider)",
      output: 'PNG: levels',
      error,
      tolerance: 1,
    });
  } finally {
    await browser.close();
    server.close();
  }
});
