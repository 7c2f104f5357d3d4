/** The page offers what a model can begin from, and no more. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openPage, screenshot, servePage, startPage, withoutPage } from './open-page.ts';

const made = [
  ['anything', ['txt2img', 'img2img', 'inpaint']],
  ['upscaler', ['img2img']],
  ['refiner', ['img2img', 'inpaint']],
] as const;

test('the beginnings to choose from are those of the model', { skip: withoutPage }, async (t) => {
  const { host, browser } = await startPage(t, servePage);
  const { page } = await openPage(browser, host.url);
  await page.route('**/api/v1/server', async (route) => {
    const response = await route.fetch();
    const info = (await response.json()) as { readonly models: readonly object[] };
    const models = made.map(([name, tasks], i) => ({ ...info.models[0], name, tasks, isDefault: i === 0 }));
    await route.fulfill({ response, json: { ...info, models } });
  });
  await page.reload();
  await page.locator('.dot[data-state=ready]').waitFor();
  const begin = page.getByRole('group', { name: 'Begin' });
  const offered = () => begin.locator('label').allTextContents();
  const chosen = () => begin.locator('label:has(input:checked)').textContent();
  const all = ['Words', 'Picture', 'Inpaint'];
  assert.deepEqual([await offered(), await chosen()], [all, 'Words']);
  const choose = (name: string) => page.getByLabel('Model', { exact: true }).selectOption(name);
  await choose('upscaler');
  assert.deepEqual([await offered(), await chosen()], [['Picture'], 'Picture']);
  await screenshot(page, 'model-tasks');
  await choose('refiner');
  assert.deepEqual([await offered(), await chosen()], [['Picture', 'Inpaint'], 'Picture']);
  await choose('anything');
  assert.deepEqual([await offered(), await chosen()], [all, 'Picture']);
});
