/** The example page makes a picture in headless Chromium. */

import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { serveExample } from '../../examples/browser/serve.ts';
import { launchBrowser, withoutBrowser } from '../engine/browser.ts';

test('examples/browser: a picture on a plain page', { skip: withoutBrowser }, async () => {
  const server = await serveExample(0, join(import.meta.dirname, '../../src/index-web.ts'));
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.setDefaultTimeout(120_000);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction('document.querySelector("#form").onsubmit !== null');
    await page.click('button');
    await page.waitForFunction('document.querySelector("#state").textContent === "done"');
    assert.deepEqual(await page.evaluate('[picture.naturalWidth, picture.naturalHeight]'), [128, 128]);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    server.close();
  }
});
