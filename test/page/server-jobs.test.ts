/** The page with `sd serve`: every job from the form to the gallery, on the pocket model. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  difference,
  dropFiles,
  madePicture,
  makePicture,
  openPage,
  paintedShare,
  paintMask,
  screenshot,
  servePage,
  startPage,
  withoutPage,
} from './open-page.ts';
import { defaultGraph } from '../parity/comfyui/graphs.ts';

test('The page with a server', { skip: withoutPage }, async (t) => {
  const { host, browser } = await startPage(t, servePage);
  const opened = await openPage(browser, host.url);

  await t.test('a picture from words, with the settings of the form in it', async () => {
    const { page } = opened;
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
  });

  await t.test('several at once, with previews on the way, and stopping', async () => {
    const { page } = opened;
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
  });

  await t.test('from a picture, and inpainting with brush, eraser and undo', async () => {
    const { page } = opened;
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
  });

  await t.test('a workflow of a file is a form that runs, and its picture opens it again', async () => {
    const { page } = opened;
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
  });

  await t.test('the gallery survives a reload; pictures are searched, opened, deleted and brought back', async () => {
    const { page } = opened;
    await page.getByRole('link', { name: 'Gallery' }).click();
    const count = await page.locator('.thumbnail').count();
    assert.ok(count >= 7, `${count} pictures`);
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
  });

  await t.test('two pictures are compared, side by side and behind a curtain', async () => {
    const { page } = opened;
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
  });

  await t.test('a picture dropped in tells its settings, which can be used', async () => {
    const { page } = opened;
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
  });

  await t.test('weights of words: written by keys, obeyed, kept, and read back from the picture', async () => {
    const { page } = opened;
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
  });

  await t.test('no prompt syntax where the model does not read it', async () => {
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
  });

  await t.test('a page loaded anew follows the job that was under way', async () => {
    const { page } = opened;
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
  });

  await t.test('an X/Y grid', async () => {
    const { page } = opened;
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
  });

  await t.test('keys: views, prompt, making and the list of keys', async () => {
    const { page } = opened;
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
  });

  await t.test('no script has failed', () => assert.deepEqual(opened.problems, []));

  await t.test("the same server by A1111's API", async () => {
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
  });
});
