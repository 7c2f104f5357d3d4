/** What the page says and does when something fails: connections, checkpoints, storage; and what was deleted or put away by mistake. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { dropFiles, makePicture, openPage, servePage, startPage, withoutPage } from './open-page.ts';

test('The page when things fail', { skip: withoutPage }, async (t) => {
  const { host, browser } = await startPage(t, servePage);
  const { page, context, problems } = await openPage(browser, host.url);
  const notice = page.locator('.notice:visible');

  await t.test('a connection that breaks off is taken up again, and the picture is made once', async () => {
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
  });

  await t.test('a refusal is told, and not asked for again', async () => {
    await page.route('**/events*', (route) =>
      route.fulfill({ status: 404, json: { error: { message: 'There is no such job.' } } }),
    );
    await page.getByRole('button', { name: 'Make' }).click();
    await notice.getByText('There is no such job.').waitFor();
    await page.unroute('**/events*');
    await page.getByRole('button', { name: 'Dismiss' }).click();
  });

  await t.test('a damaged checkpoint is named, is not offered, and the server stays', async () => {
    const bytes = readFileSync(pocketModel).subarray(0, 200_000);
    for (const [name, content, says] of [
      ['cut.safetensors', bytes, /cut\.safetensors is truncated/],
      ['noise.ckpt', Uint8Array.from({ length: 999 }, (_, i) => i * 31), /not in a known format/],
      ['alone.yaml', Uint8Array.of(97), /drop both together/],
    ] as const) {
      await dropFiles(page, [{ name, content }]);
      await notice.getByText(says).waitFor();
    }
    assert.equal(await page.locator('.engine-title').textContent(), 'This server');
    assert.deepEqual(await page.getByLabel('Model', { exact: true }).locator('option').allTextContents(), ['pocket']);
    await page.getByRole('button', { name: 'Dismiss' }).click();
  });

  await t.test('no checkpoint takes the place of one that computes', async () => {
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('150');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.locator('.preview').waitFor();
    await dropFiles(page, [{ name: 'cut.safetensors', content: Uint8Array.of(1) }]);
    await notice.getByText('A picture is being generated.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('3');
    await page.getByRole('button', { name: 'Dismiss' }).click();
  });

  await t.test('a picture deleted in the viewer comes back from there', async () => {
    await makePicture(page, 'blue heart');
    await page.getByRole('link', { name: /Gallery/ }).click();
    await page.getByRole('button', { name: /^Open blue heart/ }).click();
    await page.keyboard.press('Delete');
    await page.getByRole('dialog', { name: 'red apple' }).getByRole('button', { name: 'Undo' }).click();
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => document.querySelectorAll('.thumbnail').length === 2);
  });

  await t.test('the settings of a picture are copied, and pasted', async () => {
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('button', { name: /^Open red apple/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Copy settings' }).click();
    await notice.getByText('The settings are in the clipboard.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Create' }).click();
    await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('');
    await page.keyboard.press('Control+v');
    await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>('#prompt')?.value === 'red apple');
  });

  await t.test('a negative prompt that was put away comes back', async () => {
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    await page.getByRole('textbox', { name: 'Negative prompt' }).fill('blurry');
    await page.getByRole('button', { name: 'No negative prompt' }).click();
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    assert.equal(await page.getByRole('textbox', { name: 'Negative prompt' }).inputValue(), 'blurry');
    await page.getByRole('button', { name: 'No negative prompt' }).click();
  });

  await t.test('pictures that cannot be stored are shown all the same', async () => {
    await page.evaluate(() => {
      IDBObjectStore.prototype.put = () => {
        throw new DOMException('The disk is full.', 'QuotaExceededError');
      };
    });
    await makePicture(page, 'green tree');
    await notice.getByText('could not be kept in this browser (The disk is full).').waitFor();
    assert.equal(await page.locator('.strip li').count(), 3);
  });

  await t.test('a browser that keeps no Blobs (private windows of WebKit) keeps their bytes', async () => {
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
  });

  await t.test('without its server the page says so, and computes itself', async () => {
    await page.getByRole('button', { name: /^Where pictures are made/ }).click();
    await page.getByRole('textbox', { name: 'Address' }).fill('http://127.0.0.1:9/');
    await page.getByRole('button', { name: 'Connect' }).click();
    await notice.getByText('Meanwhile pictures are made in this browser.').waitFor();
    await page.locator('.engine-title').getByText('This browser').waitFor();
  });

  await t.test('without a network and a model it says what is missing', async () => {
    await context.setOffline(true);
    await page.getByRole('button', { name: 'Make' }).click();
    await notice.getByText('The model could not be downloaded: the network is unavailable.').waitFor();
    await context.setOffline(false);
  });

  await t.test('where storage is full the model is held in memory', async () => {
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
  });

  await t.test('no script has failed', () => assert.deepEqual(problems, []));
});
