/** The page from another machine of the house: http under a name that is not localhost, where browsers give less to pages. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { madePicture, makePicture, openPage, servePage, startPage, withoutPage } from './open-page.ts';

test('a picture is made, kept and copied on http under another name', { skip: withoutPage }, async (t) => {
  const apiKey = 'a-secret-of-alice';
  const { host, browser } = await startPage(t, () => servePage([{ name: 'alice', secret: apiKey }]), {
    hosts: 'MAP sd.lan 127.0.0.1',
  });
  const url = host.url.replace('127.0.0.1', 'sd.lan');
  const { page, problems } = await openPage(browser, url, { place: 'server', apiKey });
  assert.equal(await page.evaluate(() => isSecureContext), false);
  const { image } = await makePicture(page, 'grinning face');
  assert.deepEqual([image.width, image.height], [128, 128]);
  assert.equal(await page.locator('.strip li').count(), 1);
  await page.getByRole('button', { name: 'Copy settings' }).first().click();
  assert.equal(await page.getByText('did not allow copying').count(), 0);
  assert.deepEqual(problems, []);
});

test('the browser itself makes pictures from words and from pictures there', { skip: withoutPage }, async (t) => {
  const apiKey = 'a-secret-of-alice';
  const { host, browser } = await startPage(t, () => servePage([{ name: 'alice', secret: apiKey }]), {
    hosts: 'MAP sd.lan 127.0.0.1',
  });
  const url = host.url.replace('127.0.0.1', 'sd.lan');
  const { page, problems } = await openPage(browser, url, { place: 'browser', apiKey });
  assert.equal(await page.evaluate(() => crypto.subtle), undefined);
  const first = await makePicture(page, 'grinning face');
  await page.getByRole('button', { name: 'Start from it' }).click();
  await page.getByRole('button', { name: 'Make' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.strip li').length === 2);
  const second = await madePicture(page);
  assert.match(second.parameters, /Denoising strength: 0\.\d/);
  assert.notDeepEqual(second.image.data, first.image.data);
  assert.deepEqual(problems, []);
});
