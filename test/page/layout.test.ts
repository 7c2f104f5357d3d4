/** What must stay within reach on windows of any size: low and narrow ones, zoomed ones, and those with a picture to begin from. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Page } from 'playwright-core';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import {
  dropFiles,
  makePicture,
  openPage,
  paintedShare,
  paintMask,
  phone,
  screenshot,
  type PageSteps,
  runSteps,
  withoutPage,
} from './open-page.ts';

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

async function boxOf(page: Page, selector: string): Promise<Box> {
  const box = await page.locator(selector).first().boundingBox();
  assert.ok(box, `${selector} is not shown`);
  return box;
}

const overlap = (a: Box, b: Box): boolean =>
  a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1 && a.y < b.y + b.height - 1 && b.y < a.y + a.height - 1;

/** A picture with A1111's text. */
async function pictureWith(parameters: string): Promise<Uint8Array> {
  return nodeImageCodec.encode(createImage(16, 16, 3), { format: 'png', metadata: { parameters } });
}

const windows: PageSteps = {
  'of a dropped picture only what it tells is shown': async ({ browser, host }) => {
    const { page, context } = await openPage(browser, host.url);
    const dialog = page.getByRole('dialog');
    for (const [seed, more, expected] of [
      [7001, '', 0],
      [7002, ', Denoising strength: 0.4', 1],
      [7003, ', Denoising strength: 0.4, Hires upscale: 2', 0],
    ] as const) {
      const content = await pictureWith(
        `a\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: ${seed}, Size: 64x64${more}`,
      );
      await dropFiles(page, [{ name: 'other.png', type: 'image/png', content }]);
      await dialog.getByText(String(seed), { exact: true }).waitFor();
      assert.equal(await dialog.getByText('Strength', { exact: true }).count(), expected, more);
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
    }
    await context.close();
  },
  'on a phone every view is in one row at the bottom, none of them cut': async ({ browser, host }) => {
    const { page, context } = await openPage(browser, host.url, {}, phone);
    const links = await page.locator('.views a').all();
    assert.ok(links.length >= 5);
    const boxes = await Promise.all(links.map((link) => link.boundingBox()));
    for (const box of boxes) {
      assert.ok(box && box.y === boxes[0]?.y, 'in one row');
      assert.ok(box.y + box.height <= phone.viewport.height && box.x + box.width <= phone.viewport.width, 'not cut');
    }
    await page.getByText('draws emoji only').waitFor();
    await context.close();
  },
  'an inpainted picture is between the one it began from and the way back, none of them cut': async ({
    browser,
    host,
  }) => {
    const { page, context } = await openPage(browser, host.url, {}, { viewport: { width: 1280, height: 800 } });
    await makePicture(page, 'red apple');
    await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
    await paintMask(page, [0.3, 0.3], [0.6, 0.6]);
    await makePicture(page, 'yellow star');
    const stage = await boxOf(page, '.stage-inner');
    for (const part of ['.initial-bar', '.made', '.made-bar', '.back-to-mask']) {
      const box = await boxOf(page, part);
      assert.ok(
        box.y >= stage.y - 1 && box.y + box.height <= stage.y + stage.height + 1,
        `${part} is cut: ${box.y} … ${box.y + box.height} of ${stage.y} … ${stage.y + stage.height}`,
      );
    }
    await context.close();
  },
  'at 200 % a mask can still be painted': async ({ browser, host }) => {
    const { page, context } = await openPage(
      browser,
      host.url,
      {},
      { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2 },
    );
    await makePicture(page, 'red apple');
    assert.ok((await boxOf(page, '.made')).width > 120);
    await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
    assert.ok((await boxOf(page, '.painter canvas')).width > 120);
    await screenshot(page, 'inpaint-light-zoomed');
    await context.close();
  },
  'on 320 pixels nothing lies over another': async ({ browser, host }) => {
    const { page, context } = await openPage(
      browser,
      host.url,
      {},
      { viewport: { width: 320, height: 568 }, isMobile: true, hasTouch: true },
    );
    await makePicture(page, 'red apple');
    const controls = await Promise.all(
      ['.composer .segments label:last-child', '.negative-button', '.settings-button', '.composer .primary'].map(
        (selector) => boxOf(page, selector),
      ),
    );
    for (const [i, a] of controls.entries())
      for (const b of controls.slice(i + 1)) assert.ok(!overlap(a, b), JSON.stringify([a, b]));
    assert.ok((await boxOf(page, '.brand')).height < 40, 'the head is one line');
    await screenshot(page, 'made-light-narrow');
    await context.close();
  },
  'one finger paints a mask; a second one is no brush': async ({ browser, host }) => {
    const { page, context } = await openPage(browser, host.url, {}, phone);
    await makePicture(page, 'red apple');
    await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
    const canvas = await boxOf(page, '.painter canvas');
    const finger = (id: number, x: number, y: number) => ({
      id,
      x: canvas.x + x * canvas.width,
      y: canvas.y + y * canvas.height,
    });
    const devtools = await context.newCDPSession(page);
    const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', touchPoints: ReturnType<typeof finger>[]) =>
      devtools.send('Input.dispatchTouchEvent', { type, touchPoints });
    await touch('touchStart', [finger(1, 0.2, 0.2)]);
    await touch('touchStart', [finger(1, 0.2, 0.2), finger(2, 0.8, 0.8)]);
    for (const x of [0.22, 0.25, 0.3]) await touch('touchMove', [finger(1, x, 0.2), finger(2, 1 - x, 0.8)]);
    await touch('touchEnd', []);
    const share = await paintedShare(page);
    assert.ok(share > 0.02 && share < 0.06, `${share} of the mask is painted`);
    // And the next stroke is one again.
    await page.locator('.painter canvas').tap();
    assert.ok((await paintedShare(page)) > share);
    await context.close();
  },
  'a picture given lends its proportions': async ({ browser, host }) => {
    const { page, context } = await openPage(browser, host.url);
    await page.getByRole('radio', { name: 'Picture' }).check();
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200"><rect width="400" height="200" fill="#c63"/></svg>';
    const png = await page.evaluate(async (text) => {
      const image = new Image();
      image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
      await image.decode();
      const canvas = new OffscreenCanvas(400, 200);
      canvas.getContext('2d')?.drawImage(image, 0, 0);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    }, svg);
    await page
      .getByTestId('initial')
      .setInputFiles({ name: 'wide.png', mimeType: 'image/png', buffer: Buffer.from(png) });
    await page.getByRole('button', { name: 'As the picture given: 256 × 128' }).click();
    const { image } = await makePicture(page, 'red apple');
    assert.deepEqual([image.width, image.height], [256, 128]);
    await context.close();
  },
};

test('The page on windows of any size', { skip: withoutPage }, (t) => runSteps(t, windows));
