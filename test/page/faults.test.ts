/** What the page says and does when something fails: connections, checkpoints, storage; and what was deleted or put away by mistake. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { dropFiles, makePicture, openPage, type PageSteps, runSteps, withoutPage } from './open-page.ts';

const notice = (page: Page): Locator => page.locator('.notice:visible');

const faults: PageSteps = {
  'a connection that breaks off is taken up again, and the picture is made once': async ({ page }) => {
    let broken = 0;
    await page.route('**/events*', (route) => (broken++ < 2 ? route.abort('connectionreset') : route.continue()));
    const posted: string[] = [];
    page.on('request', (request) => request.method() !== 'GET' && posted.push(request.method()));
    await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('red apple');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.getByRole('status').getByText('Connection lost, trying again').waitFor();
    await page.locator('.made-bar').waitFor();
    assert.deepEqual([broken, posted], [3, ['POST']]);
    assert.equal(await page.locator('.strip li').count(), 1);
    await page.unroute('**/events*');
  },
  'a refusal is told, and not asked for again': async ({ page }) => {
    await page.route('**/events*', (route) =>
      route.fulfill({ status: 404, json: { error: { message: 'There is no such job.' } } }),
    );
    await page.getByRole('button', { name: 'Make' }).click();
    await notice(page).getByText('There is no such job.').waitFor();
    await page.unroute('**/events*');
    await page.getByRole('button', { name: 'Dismiss' }).click();
  },
  'a damaged checkpoint is named, is not offered, and the server stays': async ({ page }) => {
    const bytes = readFileSync(pocketModel).subarray(0, 200_000);
    for (const [name, content, says] of [
      ['cut.safetensors', bytes, /cut\.safetensors is truncated/],
      ['noise.ckpt', Uint8Array.from({ length: 999 }, (_, i) => i * 31), /not in a known format/],
      ['alone.yaml', Uint8Array.of(97), /drop both together/],
    ] as const) {
      await dropFiles(page, [{ name, content }]);
      await notice(page).getByText(says).waitFor();
    }
    assert.equal(await page.locator('.engine-title').textContent(), 'This server');
    assert.deepEqual(await page.getByLabel('Model', { exact: true }).locator('option').allTextContents(), ['pocket']);
    await page.getByRole('button', { name: 'Dismiss' }).click();
  },
  'no checkpoint takes the place of one that computes': async ({ page }) => {
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('150');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.locator('.preview').waitFor();
    await dropFiles(page, [{ name: 'cut.safetensors', content: Uint8Array.of(1) }]);
    await notice(page).getByText('A picture is being generated.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('3');
    await page.getByRole('button', { name: 'Dismiss' }).click();
  },
  'a picture deleted in the viewer comes back from there': async ({ page }) => {
    await makePicture(page, 'blue heart');
    await page.getByRole('link', { name: /Gallery/ }).click();
    await page.getByRole('button', { name: /^Open blue heart/ }).click();
    await page.keyboard.press('Delete');
    await page.getByRole('dialog', { name: 'red apple' }).getByRole('button', { name: 'Undo' }).click();
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelectorAll('.thumbnail').length === 2);
  },
  'the settings of a picture are copied, and pasted': async ({ page, context }) => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('button', { name: /^Open red apple/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Copy settings' }).click();
    await notice(page).getByText('The settings are in the clipboard.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Create' }).click();
    await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('');
    await page.keyboard.press('Control+v');
    await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>('#prompt')?.value === 'red apple');
  },
  'a negative prompt that was put away comes back': async ({ page }) => {
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    await page.getByRole('textbox', { name: 'Negative prompt' }).fill('blurry');
    await page.getByRole('button', { name: 'No negative prompt' }).click();
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    assert.equal(await page.getByRole('textbox', { name: 'Negative prompt' }).inputValue(), 'blurry');
    await page.getByRole('button', { name: 'No negative prompt' }).click();
  },
  'pictures that cannot be stored are shown all the same': async ({ page }) => {
    await page.evaluate(() => {
      IDBObjectStore.prototype.put = () => {
        throw new DOMException('The disk is full.', 'QuotaExceededError');
      };
    });
    await makePicture(page, 'green tree');
    await notice(page).getByText('could not be kept in this browser (The disk is full).').waitFor();
    assert.equal(await page.locator('.strip li').count(), 3);
  },
  'a browser that keeps no Blobs (private windows of WebKit) keeps their bytes': async ({ host, browser }) => {
    const opened = await openPage(browser, host.url);
    await opened.page.evaluate(() => {
      const put = IDBObjectStore.prototype.put;
      IDBObjectStore.prototype.put = function (value: { readonly file: unknown }) {
        // It fails later, without an error of the transaction's own.
        const request = put.call(this, value);
        if (value.file instanceof Blob) this.transaction.abort();
        return request;
      };
    });
    const { image } = await makePicture(opened.page, 'red apple');
    await opened.page.reload();
    await opened.page.locator('.strip li img').waitFor();
    const kept = await opened.page
      .locator('.strip li img')
      .evaluate((element) => [(element as HTMLImageElement).naturalWidth, (element as HTMLImageElement).naturalHeight]);
    assert.deepEqual(kept, [image.width, image.height]);
    assert.deepEqual(opened.problems, []);
    await opened.context.close();
  },
  'without its server the page says so, and computes itself': async ({ page }) => {
    await page.getByRole('button', { name: /^Where pictures are made/ }).click();
    await page.getByRole('textbox', { name: 'Address' }).fill('http://127.0.0.1:9/');
    await page.getByRole('button', { name: 'Connect' }).click();
    await notice(page).getByText('Meanwhile pictures are made in this browser.').waitFor();
    await page.locator('.engine-title').getByText('This browser').waitFor();
  },
  'without a network and a model it says what is missing': async ({ page, context }) => {
    await context.setOffline(true);
    await page.getByRole('button', { name: 'Make' }).click();
    await notice(page).getByText('The model could not be downloaded: the network is unavailable.').waitFor();
    await context.setOffline(false);
  },
  'where storage is full the model is held in memory': async ({ page, context, host }) => {
    const devtools = await context.newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(host.url).origin, quotaSize: 3e6 });
    await makePicture(page, 'red apple');
    const kept = await page.evaluate(async () =>
      (await navigator.storage.getDirectory())
        .getDirectoryHandle('models')
        .then((models) => models.getFileHandle('pocket.safetensors'))
        .then(
          () => true,
          () => false,
        ),
    );
    assert.equal(kept, false);
  },
};

test('The page when things fail', { skip: withoutPage }, (t) => runSteps(t, faults));
