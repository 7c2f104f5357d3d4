/** The views of the page with `sd serve`: gallery, comparison, grid, workflow, dropped pictures and keys. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  difference,
  dropFiles,
  madePicture,
  makePicture,
  type PageSteps,
  runSteps,
  screenshot,
  withoutPage,
} from './open-page.ts';
import { defaultGraph } from '../parity/comfyui/graphs.ts';

const views: PageSteps = {
  'pictures to look at': async ({ page }) => {
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    await page.getByRole('textbox', { name: 'Negative prompt' }).fill('blurry');
    await page.getByLabel('Sampler').selectOption('Euler');
    await page.getByLabel('Spacing').selectOption('Karras');
    for (const prompt of ['grinning face', 'red apple', 'blue heart']) await makePicture(page, prompt);
    assert.equal(await page.locator('.strip li').count(), 3);
  },
  'a workflow of a file is a form that runs, and its picture opens it again': async ({ page }) => {
    const graph = JSON.stringify(defaultGraph({ checkpoint: 'pocket.safetensors', steps: 12, size: 128 }));
    await dropFiles(page, [{ name: 'mine.json', type: 'application/json', content: Buffer.from(graph) }]);
    const form = page.getByRole('form', { name: 'mine.json' });
    await form.getByLabel('text').first().fill('red apple');
    await form.getByLabel('seed').fill('18446744073709551615');
    await page.getByRole('button', { name: 'Run' }).click();
    await page.getByAltText('Unfinished').waitFor();
    const made = page.getByAltText('ComfyUI_00001_.png');
    await made.waitFor();
    await screenshot(page, 'workflow-light-desktop');
    const numbers = await made.evaluate(async (element) => [
      ...new Uint8Array(await (await fetch((element as HTMLImageElement).src)).arrayBuffer()),
    ]);
    await dropFiles(page, [{ name: 'made.png', type: 'image/png', content: Uint8Array.from(numbers) }]);
    await page.getByRole('button', { name: 'Open its workflow' }).click();
    const again = page.getByRole('form', { name: 'made.png' });
    assert.equal(await again.getByLabel('text').first().inputValue(), 'red apple');
    assert.equal(await again.getByLabel('seed').inputValue(), '18446744073709551615');
    await page.getByRole('link', { name: 'Create' }).click();
  },
  'the gallery survives a reload; pictures are searched, opened, deleted and brought back': async ({ page }) => {
    await page.getByRole('link', { name: 'Gallery' }).click();
    const count = await page.locator('.thumbnail').count();
    assert.equal(count, 3);
    await page.reload();
    await page.locator('.thumbnail').first().waitFor();
    assert.equal(await page.locator('.thumbnail').count(), count);
    await page.getByRole('searchbox').fill('apple');
    assert.equal(await page.locator('.thumbnail').count(), 1);
    await page.getByRole('searchbox').fill('');
    await page.getByRole('button', { name: /^Open red apple/ }).click();
    assert.match((await page.locator('.viewer .settings-table').textContent()) ?? '', /Promptred apple.*Seed7/s);
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowLeft');
    await page.getByRole('dialog', { name: 'red apple' }).getByRole('button', { name: 'Delete' }).click();
    await page.waitForFunction((left) => document.querySelectorAll('.thumbnail').length === left, count - 1);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.waitForFunction((all) => document.querySelectorAll('.thumbnail').length === all, count);
  },
  'two pictures are compared, side by side and behind a curtain': async ({ page }) => {
    // By the keyboard: pictures that were just put back still move under a pointer.
    for (const name of [/^Mark red apple/, /^Mark blue heart/]) await page.getByLabel(name).press('Space');
    await page.getByRole('toolbar', { name: 'Marked pictures' }).getByRole('button', { name: 'Compare' }).click();
    await page.locator('.differences').waitFor();
    assert.equal(await page.locator('.compare-pair img').count(), 2);
    const differing = await page.locator('tr[data-differs=true] th').allTextContents();
    assert.ok(differing.includes('Prompt') && !differing.includes('Sampler'), differing.join());
    await page.getByRole('radio', { name: 'Curtain' }).check();
    await page.getByRole('slider', { name: 'Where the left picture ends' }).fill('30');
    assert.equal(
      await page.locator('.curtain').evaluate((element) => getComputedStyle(element).getPropertyValue('--cut')),
      '30%',
    );
  },
  'a picture dropped in tells its settings, which can be used': async ({ page }) => {
    await page.getByRole('link', { name: 'Create' }).click();
    await page.locator('.strip button').last().click();
    const { bytes } = await madePicture(page);
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('33');
    await page.getByLabel('Sampler').selectOption('DDIM');
    await dropFiles(page, [{ name: 'mine.png', type: 'image/png', content: bytes }]);
    await page.getByRole('dialog', { name: 'mine.png' }).getByText('grinning face').waitFor();
    await page.getByRole('button', { name: 'Use these settings' }).click();
    assert.equal(await page.getByRole('textbox', { name: 'Prompt', exact: true }).inputValue(), 'grinning face');
    assert.equal(await page.getByRole('textbox', { name: 'Negative prompt' }).inputValue(), 'blurry');
    assert.equal(await page.getByRole('spinbutton', { name: 'Steps, exact' }).inputValue(), '3');
    assert.equal(await page.getByLabel('Sampler').inputValue(), 'Euler');
    assert.equal(await page.getByLabel('Spacing').inputValue(), 'Karras');
    assert.equal(await page.getByRole('spinbutton', { name: 'Seed' }).inputValue(), '7');
    // The same settings are the same picture.
    await page.getByRole('button', { name: 'Make' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.progress').length === 0);
    assert.equal(difference((await madePicture(page)).image, (await makePicture(page, 'grinning face')).image), 0);
  },
  'an X/Y grid': async ({ page }) => {
    await page.keyboard.press('Escape');
    await page.getByLabel('Spacing').selectOption('');
    await page.locator('main').focus();
    await page.keyboard.press('3');
    assert.equal(await page.locator('.grid').isVisible(), true);
    await page.getByLabel('Across', { exact: true }).selectOption('Steps');
    await page.getByRole('textbox', { name: 'Values of across' }).fill('1-3');
    await page.getByLabel('Down', { exact: true }).selectOption('Sampler');
    await page.getByRole('textbox', { name: 'Values of down' }).fill('Euler, DDIM');
    await page.getByRole('button', { name: 'Make the grid' }).click();
    await page.getByRole('button', { name: 'Save as one' }).waitFor();
    assert.equal(await page.locator('.grid-table td img').count(), 6);
    await screenshot(page, 'grid-light-desktop');
    await page.getByRole('button', { name: 'Open 2, DDIM' }).click();
    assert.match((await page.locator('.viewer .settings-table').textContent()) ?? '', /Steps2SamplerDDIM/);
    await page.keyboard.press('Escape');
    // A cell that fails says why, and the others are made.
    await page.route('**/api/v1/jobs', (route) =>
      route.request().postData()?.includes('"steps":2')
        ? route.fulfill({ status: 422, json: { error: { message: 'Not two.' } } })
        : route.continue(),
    );
    await page.getByRole('button', { name: 'Make the grid' }).click();
    await page.getByText('Not two.').first().waitFor();
    await page.getByRole('button', { name: 'Save as one' }).waitFor();
    assert.equal(await page.locator('.grid-table td img').count(), 4);
    await page.unroute('**/api/v1/jobs');
    await page.getByRole('textbox', { name: 'Values of down' }).fill('Oiler');
    await page.getByRole('button', { name: 'Make the grid' }).click();
    await page.getByText('Unknown value “Oiler”').waitFor();
  },
  'keys: views, prompt, making and the list of keys': async ({ page }) => {
    await page.locator('main').focus();
    await page.keyboard.press('2');
    assert.equal(new URL(page.url()).hash, '#gallery');
    await page.goBack();
    await page.locator('.grid').waitFor();
    await page.keyboard.press('/');
    await page.waitForFunction(() => document.activeElement?.id === 'prompt');
    // The strip shows the newest alone.
    const before = Number(await page.locator('.count').textContent());
    await page.keyboard.type(' 2');
    await page.keyboard.press('Control+Enter');
    await page.waitForFunction((count) => Number(document.querySelector('.count')?.textContent) > count, before);
    await page.locator('main').focus();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).getByText('Make pictures').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Colours: as the system' }).click();
    await page.getByRole('button', { name: 'Colours: light' }).click();
    assert.equal(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme), 'dark');
  },
};

test('The page with a server: its views', { skip: withoutPage }, (t) => runSteps(t, views));
