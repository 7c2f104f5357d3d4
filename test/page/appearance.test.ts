/** Every view in light and dark, on desktop and phone: axe finds no violation, nothing is wider than the screen, and pictures of it are taken. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { check, withAxe, withoutAxe } from './axe.ts';
import { desktop, dropFiles, makePicture, openPage, phone, servePage, startPage } from './open-page.ts';

async function look(browser: Browser, url: string, device: string, options: BrowserContextOptions): Promise<void> {
  const { page, context, problems } = await openPage(
    browser,
    url,
    { place: 'server', settings: { steps: 6, guidanceScale: 4, seed: 2 } },
    options,
  );
  await withAxe(page);
  await check(page, 'welcome', device);
  for (const prompt of ['cat face', 'grinning face']) await makePicture(page, prompt);
  await check(page, 'made', device);
  if (device === 'phone') {
    await page.getByRole('button', { name: 'Settings', exact: true }).tap();
    await check(page, 'settings', device);
    await page.getByRole('dialog', { name: 'Settings' }).getByRole('button', { name: 'Close' }).tap();
  }
  await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
  // By touch on phones.
  if (device === 'phone') await page.locator('.painter canvas').tap();
  else await page.locator('.painter canvas').click();
  await page.waitForFunction('document.querySelector("button[aria-label=Undo]")?.disabled === false');
  await check(page, 'inpaint', device);
  for (const view of ['gallery', 'grid', 'workflow', 'compare']) {
    await page.getByRole('link', { name: new RegExp(view, 'i') }).click();
    if (view === 'compare') for (const at of [0, 1]) await page.locator('.tray button').nth(at).click();
    await check(page, view, device);
  }
  await page.getByRole('link', { name: /gallery/i }).click();
  await page
    .getByRole('button', { name: /^Open / })
    .first()
    .click();
  await page.getByRole('dialog').waitFor();
  await check(page, 'viewer', device);
  await page.keyboard.press('Escape');
  await dropFiles(page, [
    {
      name: 'circle.svg',
      type: 'image/svg+xml',
      content: Buffer.from(
        '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><circle cx="32" cy="32" r="30" fill="#c63"/></svg>',
      ),
    },
  ]);
  await page.getByText('This picture contains no settings.').waitFor();
  await check(page, 'dropped', device);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: /^Where pictures are made/ }).click();
  await page.getByRole('radio', { name: 'In this browser' }).check();
  await check(page, 'engine', device);
  await page.keyboard.press('Escape');
  await page.locator('main').focus();
  await page.keyboard.press('?');
  await check(page, 'shortcuts', device);
  assert.deepEqual(problems, []);
  await context.close();
}

test('The page: every view, in light and dark', { skip: withoutAxe }, async (t) => {
  const { host, browser } = await startPage(t, servePage);
  await t.test('on a desktop', () => look(browser, host.url, 'desktop', desktop));
  await t.test('on a phone', () => look(browser, host.url, 'phone', phone));
});
