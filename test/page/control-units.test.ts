/** The page's control units: a network, a picture with the map that is made of it, when it acts; sent, kept in the picture, read back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlFolders } from '../server/control-folder.ts';
import { withoutAxe } from './axe.ts';
import { dropFiles, makePicture, openPage, phone, servePage, startPage } from './open-page.ts';
import { look, nextJob, root, slider } from './page-steps.ts';

const picture = `${root}/web/public/icon-192.png`;
const panel = '.panel .control-units';

test('The page: control units', { skip: withoutAxe }, async (t) => {
  const folders = await controlFolders();
  t.after(() => folders.remove());
  const { host, browser } = await startPage(t, () => servePage([], { controlFolders: [folders.controls] }));
  const { page, problems } = await openPage(browser, host.url);

  await t.test('a unit without a picture is named; with one its map is shown', async () => {
    await page.locator(`${panel} > summary`).click();
    await page.locator(panel).getByRole('button', { name: 'Add a control' }).click();
    await page.locator(panel).getByLabel('Network').selectOption({ label: 'tiny_v11_canny' });
    assert.equal(await page.locator(panel).getByLabel('Preprocessor').inputValue(), 'canny');
    await page.getByLabel('Prompt', { exact: true }).fill('red apple');
    await page.keyboard.press('Control+Enter');
    await page.getByText('Choose a picture for control 1').waitFor();
    await page.locator(panel).getByTestId('control-picture').setInputFiles(picture);
    await page.locator(panel).getByAltText('What control 1 follows').waitFor();
    await page.locator(panel).getByRole('button', { name: 'Preview the map' }).click();
    await page.locator(panel).getByAltText('Map of control 1').waitFor();
  });

  await t.test('it is sent with its picture, kept in the result, and read back from it', async () => {
    const weight = page.locator(panel).getByRole('spinbutton', { name: 'Weight, exact' });
    await weight.fill('0.6');
    await page.locator(panel).getByRole('spinbutton', { name: 'Ends at, exact' }).fill('0.7');
    await slider(page, 'Steps').fill('2');
    await page.locator(panel).getByRole('button', { name: 'Add a control' }).scrollIntoViewIfNeeded();
    await look(page, 'control-units', 'desktop');
    const sent = nextJob(page);
    const { bytes } = await makePicture(page, 'red apple');
    const [control] = (await sent)['control'] as Record<string, unknown>[];
    assert.ok(typeof control?.['picture'] === 'string' && control['picture'].length > 100);
    const { picture: _, ...fields } = control;
    assert.match(String(fields['model']), /^tiny_v11_canny \[[0-9a-f]{8}\]$/);
    assert.deepEqual(
      { ...fields, model: '' },
      { model: '', preprocessor: 'canny', weight: 0.6, start: 0, end: 0.7, mode: 'balanced', pixelPerfect: true },
    );
    await page.locator(panel).getByRole('button', { name: 'Remove control 1' }).click();
    await dropFiles(page, [{ name: 'mine.png', type: 'image/png', content: bytes }]);
    await page.locator('.dropped .settings-table').getByText('tiny_v11_canny, canny, weight 0.6').waitFor();
    await page.getByRole('button', { name: 'Use these settings' }).click();
    assert.equal(
      await page
        .locator(panel)
        .getByLabel('Network')
        .evaluate((select: HTMLSelectElement) => select.selectedOptions[0]?.text),
      'tiny_v11_canny',
    );
    assert.equal(await weight.inputValue(), '0.6');
    assert.equal(await page.locator(panel).getByLabel('Preprocessor').inputValue(), 'canny');
  });

  await t.test('on a phone', async () => {
    const small = await openPage(browser, host.url, {}, phone);
    await small.page.getByRole('button', { name: 'Settings' }).click();
    await small.page.locator('.bottom-sheet .control-units > summary').click();
    await small.page.locator('.bottom-sheet').getByRole('button', { name: 'Add a control' }).click();
    await small.page.locator('.bottom-sheet').getByRole('group', { name: 'Control 1' }).waitFor();
    await small.page.locator('.bottom-sheet').getByLabel('Preprocessor').scrollIntoViewIfNeeded();
    await look(small.page, 'control-units', 'phone');
    assert.deepEqual(small.problems, []);
    await small.page.close();
  });
  assert.deepEqual(problems, [], 'no script has failed');
});
