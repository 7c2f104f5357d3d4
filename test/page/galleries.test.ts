/** The gallery of this browser with many pictures, and the server's own. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makePicture, openPage } from './open-page.ts';
import { look, root, testSteps } from './page-steps.ts';

testSteps('The page: galleries', [
  [
    "the server's own gallery: thumbnails, and a picture with its settings",
    async ({ page }) => {
      await makePicture(page, 'red apple');
      await makePicture(page, 'blue heart');
      await page.getByRole('link', { name: 'Gallery' }).click();
      await page.getByRole('radio', { name: 'The server' }).check();
      await page.locator('.thumbnail img').first().waitFor();
      await look(page, 'server-gallery', 'desktop');
      const count = await page.locator('.thumbnail').count();
      assert.equal(count, 2);
      await page.locator('.thumbnail-picture').last().click();
      await page.locator('.dropped .settings-table').getByText('red apple').waitFor();
      await page.keyboard.press('Escape');
    },
  ],
  [
    'a gallery holds the pictures near the screen alone',
    async ({ host, browser }) => {
      const many = await openPage(browser, host.url);
      const png = [...readFileSync(join(root, 'web/public/icon-512.png'))];
      await many.page.evaluate(async (bytes) => {
        const request = indexedDB.open('stable-diffusion', 1);
        const database = await new Promise<IDBDatabase>((resolve) => {
          request.onsuccess = () => resolve(request.result);
        });
        const store = database.transaction('pictures', 'readwrite').objectStore('pictures');
        for (let i = 0; i < 300; i++)
          store.put({
            id: `p${i}`,
            createdAt: 1e12 + i,
            task: 'txt2img',
            settings: { prompt: `picture ${i}`, promptSyntax: 'plain', width: 512, height: 512, seed: i, extra: {} },
            model: 'pocket',
            engine: 'test',
            seconds: 1,
            file: new Blob([Uint8Array.from(bytes)], { type: 'image/png' }),
          });
        await new Promise((resolve) => {
          store.transaction.oncomplete = resolve;
        });
      }, png);
      await many.page.goto(`${host.url}#gallery`);
      await many.page.reload();
      await many.page.locator('.thumbnail img').first().waitFor();
      assert.equal(await many.page.locator('.thumbnail').count(), 300);
      const images = await many.page.locator('.thumbnail img').count();
      assert.ok(images > 5 && images < 150, `${images} pictures are in the document`);
      await many.page.locator('.thumbnail').last().scrollIntoViewIfNeeded();
      await many.page.locator('.thumbnail').last().locator('img').waitFor();
      assert.ok((await many.page.locator('.thumbnail img').count()) < 150);
      assert.deepEqual(many.problems, []);
      await many.context.close();
    },
  ],
]);
