/** The page's controls for what a server can do beyond a picture from words: second pass, variation, LoRAs, tokens, queue. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { difference, dropFiles, makePicture, openPage, phone } from './open-page.ts';
import { look, nextJob, slider, testSteps } from './page-steps.ts';

testSteps('The page: further settings', [
  [
    'a preset fills in the fields below it',
    async ({ page }) => {
      await page.getByLabel('Preset').selectOption('lcm');
      assert.equal(await page.getByLabel('Sampler').inputValue(), 'LCM');
      assert.equal(await page.getByLabel('Spacing').inputValue(), 'SGM Uniform');
      assert.deepEqual(
        [await slider(page, 'Steps').inputValue(), await slider(page, 'Guidance').inputValue()],
        ['4', '1'],
      );
      await slider(page, 'Steps').fill('3');
      assert.equal(await page.getByLabel('Preset').inputValue(), '', 'changed, it is none');
      await page.getByLabel('Sampler').selectOption('DPM++ 2M');
      await page.getByLabel('Spacing').selectOption('');
      await slider(page, 'Guidance').fill('6');
    },
  ],
  [
    'a second pass, a variation, clip skip and seamless: sent, kept in the picture, and read back',
    async ({ page }) => {
      await slider(page, 'Enlarge, then refine').fill('1.5');
      await slider(page, 'Its steps').fill('2');
      await page.getByLabel('Enlarged by').selectOption('Nearest');
      await slider(page, 'Variation').fill('0.4');
      await page.locator('.panel details.more summary', { hasText: 'More' }).click();
      await slider(page, 'Clip skip').fill('2');
      await page.getByLabel('Seamless').selectOption('On all sides');
      await page.getByRole('checkbox', { name: 'FreeU' }).check();
      await look(page, 'controls', 'desktop');
      const sent = nextJob(page);
      const { image, parameters, bytes } = await makePicture(page, 'red apple');
      const { hires, noiseSettings, clipSkip, seamless, freeU } = await sent;
      assert.deepEqual(hires, { scale: 1.5, strength: 0.5, steps: 2, upscaler: 'nearest' });
      assert.deepEqual([clipSkip, seamless, freeU], [2, 'both', { b1: 1.5, b2: 1.6, s1: 0.9, s2: 0.2 }]);
      const { subseed } = noiseSettings as { readonly subseed: number };
      assert.deepEqual([image.width, image.height], [192, 192]);
      for (const part of [
        'Hires upscale: 1.5',
        'Hires steps: 2',
        'Hires upscaler: Nearest',
        `Variation seed: ${subseed}`,
        'Variation seed strength: 0.4',
        'Clip skip: 2',
        'Tiling: True',
      ])
        assert.ok(parameters.includes(part), `${part} is not in ${parameters}`);
      // The form is emptied, and filled again from the picture's text.
      await page.evaluate(() => localStorage.removeItem('settings'));
      await page.reload();
      await page.locator('.dot[data-state=ready]').waitFor();
      assert.equal(await slider(page, 'Variation').inputValue(), '0');
      await dropFiles(page, [{ name: 'mine.png', type: 'image/png', content: bytes }]);
      await page.locator('.dropped .settings-table').getByText('On all sides').waitFor();
      await page.getByRole('button', { name: 'Use these settings' }).click();
      assert.equal(await slider(page, 'Enlarge, then refine').inputValue(), '1.5');
      assert.equal(await slider(page, 'Variation').inputValue(), '0.4');
      assert.equal(await page.getByRole('spinbutton', { name: 'Variation seed' }).inputValue(), String(subseed));
      await page.reload();
      await page.locator('.dot[data-state=ready]').waitFor();
      assert.equal(await slider(page, 'Variation').inputValue(), '0.4', 'the settings are kept');
      await slider(page, 'Enlarge, then refine').fill('1');
      await slider(page, 'Variation').fill('0');
      await page.getByLabel('Spacing').selectOption('');
    },
  ],
  [
    'LoRAs with preview and trigger words go into the prompt and out of it',
    async ({ page }) => {
      const plain = await makePicture(page, 'red apple');
      await page.getByRole('button', { name: 'LoRAs and embeddings' }).click();
      const dialog = page.getByRole('dialog', { name: 'LoRAs and embeddings' });
      await dialog.locator('.adapter-preview img').waitFor();
      await dialog.getByRole('button', { name: 'Add ink' }).click();
      await dialog.getByRole('button', { name: 'ink style' }).click();
      await dialog.getByRole('spinbutton', { name: 'Weight of ink' }).fill('1.5');
      await look(page, 'adapters', 'desktop');
      await dialog.getByRole('button', { name: 'Close' }).click();
      const prompt = page.getByRole('textbox', { name: 'Prompt', exact: true });
      assert.equal(await prompt.inputValue(), 'red apple <lora:ink:1.5>, ink style');
      const { image, parameters } = await makePicture(page, 'red apple <lora:ink:1.5>');
      assert.match(parameters, /<lora:ink:1\.5>/);
      assert.ok(difference(plain.image, image) > 0.5, 'the LoRA counts');
      await page.getByRole('button', { name: 'LoRAs and embeddings' }).click();
      await dialog.getByRole('button', { name: 'Remove ink' }).click();
      await dialog.getByRole('button', { name: 'Close' }).click();
      assert.equal(await prompt.inputValue(), 'red apple');
    },
  ],
  [
    'a LoRA dropped on the page: one line says what it is and what to do',
    async ({ page, loras }) => {
      await dropFiles(page, [{ name: 'ink.safetensors', content: readFileSync(join(loras, 'ink.safetensors')) }]);
      const notice = page.locator('.notice:visible p');
      await notice.getByText(/^ink\.safetensors is a LoRA\. Put it into the server's folder/).waitFor();
      assert.equal((await notice.textContent())?.includes('\n'), false);
      await page.getByRole('button', { name: 'Dismiss' }).click();
    },
  ],
  [
    "the prompt's tokens are counted, as A1111 counts them",
    async ({ page }) => {
      const prompt = page.getByRole('textbox', { name: 'Prompt', exact: true });
      await prompt.fill('a (red:1.3) apple <lora:ink:1>');
      await page.locator('.tokens').getByText('3/75').waitFor();
      await prompt.fill(Array.from({ length: 80 }, () => 'cat').join(' '));
      await page.locator('.tokens').getByText('80/150').waitFor();
      await page.getByLabel('Prompt syntax').selectOption('plain');
      await page.locator('.tokens[data-cut=true]').getByText('80/75').waitFor();
      await page.getByLabel('Prompt syntax').selectOption('a1111');
    },
  ],
  [
    'jobs wait while one is made; one is taken out, the others follow',
    async ({ page }) => {
      await slider(page, 'Steps').fill('150');
      await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('red apple');
      await page.getByRole('button', { name: 'Make' }).click();
      await page.locator('.preview').waitFor();
      await slider(page, 'Steps').fill('2');
      for (const words of ['blue heart', 'green tree', 'cat face']) {
        await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(words);
        await page.getByRole('button', { name: 'Add to the queue' }).click();
      }
      const queue = page.getByRole('region', { name: 'Queue' });
      await queue.getByText('3 jobs wait').waitFor();
      await look(page, 'queue', 'desktop');
      await queue.getByRole('button', { name: 'Remove green tree from the queue' }).click();
      const before = await page.locator('.strip li').count();
      await page.keyboard.press('Escape');
      await page.waitForFunction((count) => document.querySelectorAll('.strip li').length === count, before + 2);
      await page.getByRole('button', { name: 'Make' }).waitFor();
      assert.deepEqual(
        await page
          .locator('.strip button')
          .evaluateAll((list) =>
            list.slice(0, 2).map((button) => /Show ([a-z ]+),/.exec(button.getAttribute('aria-label') ?? '')?.[1]),
          ),
        ['cat face', 'blue heart'],
      );
    },
  ],
  [
    'pictures from before these settings are read',
    async ({ host, browser }) => {
      const old = await openPage(browser, host.url);
      await old.page.evaluate(() => {
        const { extra: _, ...settings } = JSON.parse(localStorage.getItem('settings') ?? '{}');
        localStorage.setItem('settings', JSON.stringify({ ...settings, prompt: 'old' }));
      });
      await old.page.reload();
      await old.page.locator('.dot[data-state=ready]').waitFor();
      assert.equal(await old.page.getByRole('textbox', { name: 'Prompt', exact: true }).inputValue(), 'old');
      assert.deepEqual(old.problems, []);
      await old.context.close();
    },
  ],
  [
    'on a phone the controls are in the sheet',
    async ({ host, browser }) => {
      const small = await openPage(browser, host.url, {}, phone);
      await small.page.getByRole('button', { name: 'Settings', exact: true }).tap();
      const sheet = small.page.getByRole('dialog', { name: 'Settings' });
      await sheet.locator('details.more summary', { hasText: 'More' }).tap();
      await sheet.getByRole('checkbox', { name: 'FreeU' }).check();
      await look(small.page, 'controls', 'phone');
      await sheet.getByRole('button', { name: 'LoRAs and embeddings' }).tap();
      await small.page.getByRole('button', { name: 'Add ink' }).tap();
      await look(small.page, 'adapters', 'phone');
      await small.page.keyboard.press('Escape');
      await sheet.getByRole('button', { name: 'Close' }).tap();
      await makePicture(small.page, 'red apple');
      await small.page.getByRole('radio', { name: 'Inpaint' }).check();
      await small.page.locator('.painter canvas').waitFor();
      await look(small.page, 'painter', 'phone');
      await small.context.close();
    },
  ],
]);
