/** The page alone, from a host of static files: pictures are made in the browser, with and without a network. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeSmallModel } from '../browser/small-model.ts';
import {
  difference,
  dropFiles,
  type MadePicture,
  makePicture,
  openPage,
  paintMask,
  type PageSteps,
  runSteps,
  screenshot,
  serveFiles,
  servePage,
  startPage,
  withoutPage,
} from './open-page.ts';

/** The first picture, which later ones are compared with. */
let first: MadePicture;

const alone: PageSteps = {
  'is isolated by its service worker, so that there are threads': async ({ page, host }) => {
    assert.equal((await fetch(host.url)).headers.get('cross-origin-embedder-policy'), null);
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    assert.equal(await page.locator('.engine-title').textContent(), 'This browser · processor');
  },
  'from words, with previews; nothing leaves the machine': async ({ page }) => {
    const posted: string[] = [];
    page.on('request', (request) => request.method() !== 'GET' && posted.push(request.url()));
    first = await makePicture(page, 'grinning face');
    assert.deepEqual([first.image.width, first.image.height], [128, 128]);
    assert.match(first.parameters, /Seed: 7,/);
    assert.deepEqual(posted, []);
  },
  'makes the picture that a server makes': async ({ page, browser }) => {
    const server = await servePage();
    try {
      const other = await openPage(browser, server.url);
      const { image } = await makePicture(other.page, 'grinning face');
      const weighted = await makePicture(other.page, '(grinning:1.6) face');
      await other.context.close();
      assert.ok(difference(image, first.image) < 0.5, `they differ by ${difference(image, first.image)} levels`);
      const here = await makePicture(page, '(grinning:1.6) face');
      assert.ok(difference(here.image, first.image) > 0.5, 'the weight counts');
      assert.ok(
        difference(here.image, weighted.image) < 0.5,
        `with weights they differ by ${difference(here.image, weighted.image)} levels`,
      );
      await page.getByRole('button', { name: 'Delete' }).click();
      await page.locator('.strip button').first().click();
    } finally {
      await server.close();
    }
  },
  'from a picture and inpainting': async ({ page }) => {
    await page.getByRole('button', { name: 'Start from it' }).click();
    const { parameters } = await makePicture(page, 'red apple');
    assert.match(parameters, /Denoising strength: 0.6/);
    await page.locator('.strip button').last().click();
    await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
    await paintMask(page, [0.7, 0.2], [0.7, 0.8]);
    const { image } = await makePicture(page, 'yellow star');
    const inside = difference(first.image, image, (x) => x > 85 && x < 95);
    const outside = difference(first.image, image, (x) => x < 60);
    assert.ok(outside < 1 && inside > 4 * outside, `levels changed: ${inside} inside the mask, ${outside} outside`);
  },
  'an own checkpoint, dropped with its YAML, read from there, and kept': async ({ page }) => {
    await page.getByRole('radio', { name: 'Words' }).check();
    await dropFiles(page, [
      { name: 'mine.safetensors', content: 'models/pocket.safetensors' },
      { name: 'mine.yaml', content: 'models/pocket.yaml' },
    ]);
    await page.getByText('mine.safetensors is open (128 × 128)').waitFor();
    await page.getByRole('button', { name: 'Keep it in this browser' }).click();
    await page.getByText('mine.safetensors is kept in this browser.').waitFor();
    const { image } = await makePicture(page, 'grinning face');
    assert.equal(difference(image, first.image), 0, 'the same weights, the same picture');
  },
  'without a network: opens again, with its gallery, its models, and makes a picture': async ({
    page,
    context,
    problems,
    host,
  }) => {
    await context.setOffline(true);
    await host.close();
    await page.reload();
    await page.locator('.dot[data-state=ready]').waitFor();
    assert.equal(await page.locator('.strip li').count(), 4);
    assert.deepEqual(await page.getByLabel('Model', { exact: true }).locator('option').allTextContents(), [
      'pocket',
      'mine.safetensors',
    ]);
    assert.equal(
      await page.getByLabel('Model', { exact: true }).inputValue(),
      'mine.safetensors',
      'the model chosen is kept',
    );
    const { image } = await makePicture(page, 'grinning face');
    assert.equal(difference(image, first.image), 0);
    await screenshot(page, 'offline-light-desktop');
    assert.deepEqual(problems, []);
  },
};

test('The page alone, in the browser (WASM)', { skip: withoutPage }, (t) => runSteps(t, alone, () => serveFiles()));

test('The page in the browser on WebGPU (software driver)', { skip: withoutPage }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-small-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { model, config } = await writeSmallModel(folder);
  const others = { '/models/pocket.safetensors': model, '/models/pocket.yaml': config };
  const { host, browser } = await startPage(t, () => serveFiles(others), { webgpu: true });
  const { page, problems } = await openPage(browser, host.url, {
    provider: 'webgpu',
    settings: { steps: 1, guidanceScale: 1, width: 64, height: 64 },
  });
  // In software a network takes a while to be prepared.
  page.setDefaultTimeout(240_000);
  if (
    !(await page.evaluate(
      async () => 'gpu' in navigator && (await (navigator as { gpu: GPU }).gpu.requestAdapter()) !== null,
    ))
  )
    return t.skip('Chromium offers no WebGPU adapter here');
  assert.equal(await page.locator('.engine-title').textContent(), 'This browser · graphics');
  const { image } = await makePicture(page, 'red apple');
  assert.deepEqual([image.width, image.height], [64, 64]);
  assert.deepEqual(problems, []);
});
