/** The page with `sd serve`: every job of the form, on the pocket model. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  difference,
  dropFiles,
  madePicture,
  makePicture,
  openPage,
  type PageSteps,
  paintedShare,
  paintMask,
  runSteps,
  screenshot,
  withoutPage,
} from './open-page.ts';

const jobs: PageSteps = {
  'a picture from words, with the settings of the form in it': async ({ page }) => {
    assert.equal(await page.locator('.engine-title').textContent(), 'This server');
    await page.getByRole('button', { name: 'Negative prompt' }).click();
    await page.getByRole('textbox', { name: 'Negative prompt' }).fill('blurry');
    await page.getByRole('spinbutton', { name: 'Guidance, exact' }).fill('4');
    await page.getByLabel('Sampler').selectOption('Euler');
    await page.getByLabel('Spacing').selectOption('Karras');
    const { image, parameters } = await makePicture(page, 'grinning face');
    assert.deepEqual([image.width, image.height], [128, 128]);
    for (const part of [
      /^grinning face\n/,
      /Negative prompt: blurry/,
      /Steps: 3,/,
      /Sampler: Euler/,
      /Schedule type: Karras/,
      /CFG scale: 4/,
      /Seed: 7,/,
      /Size: 128x128/,
    ])
      assert.match(parameters, part);
    await page.getByRole('button', { name: 'No negative prompt' }).click();
  },
  'several at once, with previews on the way, and stopping': async ({ page }) => {
    await page.getByLabel('Pictures', { exact: true }).selectOption('4');
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('60');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.locator('.preview canvas').first().waitFor();
    await screenshot(page, 'sampling-light-desktop');
    assert.match((await page.getByRole('status').textContent()) ?? '', /Step \d+ of 60/);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Make' }).waitFor();
    assert.equal(await page.locator('.strip li').count(), 1, 'a job that was stopped leaves no picture');
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('2');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.locator('.made').nth(3).waitFor();
    assert.equal(await page.locator('.strip li').count(), 5);
    await page.getByLabel('Pictures', { exact: true }).selectOption('1');
  },
  'from a picture, and inpainting with brush, eraser and undo': async ({ page }) => {
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('4');
    const first = await makePicture(page, 'red apple');
    await page.getByRole('button', { name: 'Start from it' }).click();
    const { image, parameters } = await makePicture(page, 'blue heart');
    assert.match(parameters, /Denoising strength: 0.6/);
    assert.ok(difference(first.image, image) > 1, 'the picture has changed');
    await page.getByRole('button', { name: 'Hold for the original' }).hover();
    await page.mouse.down();
    assert.equal(difference((await madePicture(page)).image, first.image), 0);
    await page.mouse.up();
    assert.equal(difference((await madePicture(page)).image, image), 0);

    await page.locator('.strip button').nth(1).click();
    await page.getByRole('button', { name: 'Inpaint', exact: true }).click();
    await paintMask(page, [0.7, 0.2], [0.7, 0.8]);
    const painted = await paintedShare(page);
    assert.ok(painted > 0.08 && painted < 0.3, `${painted} of the mask is painted`);
    await page.getByRole('button', { name: 'Eraser (E)' }).click();
    await paintMask(page, [0.7, 0.2], [0.7, 0.8]);
    assert.ok((await paintedShare(page)) < 0.01, 'the eraser takes it away');
    await page.keyboard.press('Control+z');
    assert.equal(await paintedShare(page), painted, 'undo brings it back');
    await screenshot(page, 'inpaint-light-desktop');
    const inpainted = (await makePicture(page, 'yellow star')).image;
    const inside = difference(first.image, inpainted, (x) => x > 85 && x < 95);
    const outside = difference(first.image, inpainted, (x) => x < 60);
    assert.ok(outside < 1 && inside > 4 * outside, `levels changed: ${inside} inside the mask, ${outside} outside`);
  },
  'weights of words: written by keys, obeyed, kept, and read back from the picture': async ({ page }) => {
    await page.getByRole('radio', { name: 'Words' }).check();
    const prompt = page.getByRole('textbox', { name: 'Prompt', exact: true });
    const plain = await makePicture(page, 'grinning face');
    await prompt.press('Home');
    for (const key of ['ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowUp', 'ArrowDown']) await prompt.press(`Control+${key}`);
    assert.equal(await prompt.inputValue(), '(grinning:1.3) face');
    await page.keyboard.press('Control+z');
    assert.equal(await prompt.inputValue(), '(grinning:1.4) face', "the field's own undo knows it");
    await page.getByRole('button', { name: 'Make' }).click();
    await page.waitForFunction(() => document.querySelectorAll('.progress').length === 0);
    const weighted = await madePicture(page);
    assert.ok(
      difference(plain.image, weighted.image) > 0.05,
      `the weight counts: ${difference(plain.image, weighted.image)} levels`,
    );

    // As text, the brackets are something else again; the keys move the cursor.
    await page.getByLabel('Prompt syntax').selectOption('plain');
    await prompt.press('Control+ArrowUp');
    const literal = await makePicture(page, '(grinning:1.4) face');
    assert.ok(difference(literal.image, weighted.image) > 0.05, 'brackets are text');
    await page.reload();
    await page.locator('.dot[data-state=ready]').waitFor();
    assert.equal(await page.getByLabel('Prompt syntax').inputValue(), 'plain', 'the choice is kept');
    await page.locator('.strip button').nth(1).click();
    await page.getByRole('button', { name: 'Use settings' }).click();
    assert.equal(await page.getByLabel('Prompt syntax').inputValue(), 'a1111', 'of the history');
    for (const [bytes, syntax, row] of [
      [literal.bytes, 'plain', 'plain'],
      [weighted.bytes, 'a1111', 'A1111'],
    ] as const) {
      await dropFiles(page, [{ name: 'mine.png', type: 'image/png', content: bytes }]);
      await page.locator('.dropped .settings-table').getByText(row, { exact: true }).waitFor();
      await page.getByRole('button', { name: 'Use these settings' }).click();
      assert.equal(await page.getByLabel('Prompt syntax').inputValue(), syntax, 'of the picture');
    }
  },
  'no prompt syntax where the model does not read it': async ({ host, browser }) => {
    const { page, context } = await openPage(browser, host.url);
    await page.route('**/api/v1/server', async (route) => {
      const response = await route.fetch();
      const info = (await response.json()) as { readonly models: readonly object[] };
      await route.fulfill({
        response,
        json: { ...info, models: info.models.map((model) => ({ ...model, readsPromptSyntax: false })) },
      });
    });
    await page.reload();
    await page.locator('.dot[data-state=ready]').waitFor();
    assert.equal(await page.getByLabel('Prompt syntax').count(), 0);
    const posted = page.waitForRequest((request) => request.method() === 'POST');
    await makePicture(page, '(red) apple');
    assert.match((await posted).postData() ?? '', /"promptSyntax":"plain"/);
    await context.close();
  },
  'a page loaded anew follows the job that was under way': async ({ page }) => {
    const before = await page.locator('.strip li').count();
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('60');
    await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('birthday cake');
    await page.getByRole('button', { name: 'Make' }).click();
    await page.locator('.preview canvas').first().waitFor();
    const posted: string[] = [];
    page.on('request', (request) => request.method() !== 'GET' && posted.push(request.url()));
    await page.reload();
    const { parameters } = await madePicture(page);
    assert.match(parameters, /^birthday cake\n(?:.*\n)?Steps: 60,/);
    assert.deepEqual(posted, []);
    assert.equal(await page.locator('.strip li').count(), before + 1);
    await page.reload();
    await page.locator('.dot[data-state=ready]').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Make' }).count(), 1, 'once only');
    await page.getByRole('spinbutton', { name: 'Steps, exact' }).fill('3');
  },
  "the same server by A1111's API": async ({ host, browser }) => {
    const { page, context, problems } = await openPage(browser, host.url);
    await page.route('**/api/v1/server', (route) =>
      route.fulfill({ status: 404, contentType: 'application/json', body: '{}' }),
    );
    await page.reload();
    await page.locator('.dot[data-state=ready]').waitFor();
    assert.equal(await page.locator('.engine-title').textContent(), 'Server (A1111 API)');
    const { image, parameters } = await makePicture(page, 'green tree');
    assert.deepEqual([image.width, image.height], [128, 128]);
    assert.match(parameters, /Seed: 7,/);
    assert.deepEqual(problems, []);
    await context.close();
  },
};

test('The page with a server', { skip: withoutPage }, (t) => runSteps(t, jobs));
