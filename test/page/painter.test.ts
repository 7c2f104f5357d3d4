/** The painter and the settings of inpainting, with a server and in the browser. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeStyleLora } from '../style-lora.ts';
import {
  difference,
  dropFiles,
  makePicture,
  openPage,
  paintMask,
  serveFiles,
  startPage,
  withoutPage,
} from './open-page.ts';
import { look, nextJob, slider, testSteps } from './page-steps.ts';

testSteps('The page: painting', [
  [
    'Inpaint takes the picture on the stage; without one it asks for one',
    async ({ page }) => {
      await makePicture(page, 'red apple');
      await page.getByRole('radio', { name: 'Inpaint' }).check();
      await page.locator('.painter canvas').waitFor();
      await page.getByRole('button', { name: 'Remove the picture' }).click();
      await page.getByRole('heading', { name: 'Which picture should be changed?' }).waitFor();
      await page.getByRole('radio', { name: 'Words' }).check();
      await page.locator('.strip button').first().click();
      await page.getByRole('radio', { name: 'Picture', exact: true }).check();
      await page.getByAltText('Starting point').first().waitFor();
      await page.getByRole('radio', { name: 'Inpaint' }).check();
      await page.locator('.painter canvas').waitFor();
    },
  ],
  [
    'the painter zooms and moves, and paints where it shows',
    async ({ page }) => {
      const paper = page.locator('.painter canvas');
      const whole = await paper.boundingBox();
      assert.ok(whole);
      await page.getByRole('button', { name: 'Zoom in' }).click();
      const larger = await paper.boundingBox();
      assert.ok(larger && Math.abs(larger.width / whole.width - 1.5) < 0.02, 'one and a half times as large');
      await page.mouse.move(whole.x + whole.width / 2, whole.y + whole.height / 2);
      await page.mouse.wheel(0, -400);
      const wheeled = await paper.boundingBox();
      assert.ok(wheeled && wheeled.width > larger.width * 2, 'the wheel zooms');
      await page.keyboard.press('h');
      await page.mouse.down();
      await page.mouse.move(whole.x + whole.width / 2 + 40, whole.y + whole.height / 2 + 10, { steps: 3 });
      await page.mouse.up();
      const moved = await paper.boundingBox();
      assert.ok(moved && Math.abs(moved.x - wheeled.x - 40) < 2, 'the hand moves it');
      await page.keyboard.press('b');
      await page.mouse.down();
      await page.mouse.up();
      await look(page, 'zoomed', 'desktop');
      await page.getByRole('button', { name: 'The whole picture (0)' }).click();
      // What was painted lies at the pointer's place of before.
      const at = await paper.evaluate((element) => {
        const canvas = element as HTMLCanvasElement;
        const { width, height } = canvas;
        const data = canvas.getContext('2d')?.getImageData(0, 0, width, height).data ?? [];
        let [x, y, count] = [0, 0, 0];
        for (let i = 0; i < width * height; i++) {
          if ((data[4 * i + 3] ?? 0) < 128) continue;
          x += i % width;
          y += Math.floor(i / width);
          count++;
        }
        return { x: x / count / width, y: y / count / height };
      });
      const wanted = {
        x: (whole.x + whole.width / 2 + 40 - moved.x) / moved.width,
        y: (whole.y + whole.height / 2 + 10 - moved.y) / moved.height,
      };
      assert.ok(Math.hypot(at.x - wanted.x, at.y - wanted.y) < 0.02, JSON.stringify([at, wanted]));
    },
  ],
  [
    'the lasso paints what it encloses, and with Alt erases it',
    async ({ page }) => {
      const paper = page.locator('.painter canvas');
      const box = await paper.boundingBox();
      assert.ok(box);
      const enclose = async (from: number, to: number): Promise<void> => {
        const at = (x: number, y: number) =>
          page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 4 });
        await at(from, from);
        await page.mouse.down();
        await at(to, from);
        await at(to, to);
        await at(from, to);
        await page.mouse.up();
      };
      const painted = (): Promise<number> =>
        paper.evaluate((element) => {
          const { width, height } = element as HTMLCanvasElement;
          const data = (element as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height).data ?? [];
          return data.filter((value, i) => i % 4 === 3 && value > 127).length / (width * height);
        });
      await page.getByRole('button', { name: 'Clear the mask' }).click();
      await page.keyboard.press('l');
      await enclose(0.2, 0.8);
      assert.ok(Math.abs((await painted()) - 0.36) < 0.03, `${await painted()} is painted`);
      await page.keyboard.down('Alt');
      await enclose(0.4, 0.6);
      await page.keyboard.up('Alt');
      assert.ok(Math.abs((await painted()) - 0.32) < 0.03, `${await painted()} is painted`);
      await page.keyboard.press('b');
    },
  ],
  [
    'only the painted part at full size, its content and its edge',
    async ({ page }) => {
      await page.getByRole('button', { name: 'Clear the mask' }).click();
      await paintMask(page, [0.6, 0.6], [0.8, 0.8]);
      await page.getByLabel('The painted part begins from').selectOption('Noise');
      await slider(page, 'Soft edge').fill('2');
      await page.getByRole('checkbox', { name: 'Only the painted part, at full size' }).check();
      await slider(page, 'Padding').fill('8');
      const sent = nextJob(page);
      const { parameters } = await makePicture(page, 'yellow star');
      assert.deepEqual((await sent)['inpaint'], { fill: 'latent noise', blur: 2, onlyMaskedPadding: 8 });
      assert.match(
        parameters,
        /Mask blur: 2, Inpaint area: Only masked, Masked area padding: 8, Masked content: latent noise/,
      );
    },
  ],
  [
    'the frame is dragged outwards, and the picture is extended there',
    async ({ page }) => {
      await page.getByRole('radio', { name: 'Picture', exact: true }).check();
      const handle = page.getByRole('slider', { name: 'Drag to extend right' });
      const [box, frame] = [await handle.boundingBox(), await page.locator('.extend-frame').boundingBox()];
      assert.ok(box && frame);
      const [x, y] = [box.x + box.width - 8, box.y + box.height / 2];
      await page.mouse.move(x, y);
      await page.mouse.down();
      await page.mouse.move(x + frame.width / 2, y, { steps: 5 });
      await page.mouse.up();
      assert.equal(await handle.getAttribute('aria-valuenow'), '64');
      await handle.press('ArrowLeft');
      assert.equal(await handle.getAttribute('aria-valuenow'), '56');
      await handle.press('ArrowRight');
      await look(page, 'extended', 'desktop');
      const sent = nextJob(page);
      const { image } = await makePicture(page, 'yellow star');
      assert.deepEqual((await sent)['outpaint'], { left: 0, right: 64, up: 0, down: 0 });
      assert.deepEqual([image.width, image.height], [192, 128]);
    },
  ],
  [
    'styles are written into the prompts, and dynamic prompts drawn for each picture',
    async ({ page }) => {
      await page.getByRole('radio', { name: 'Words' }).check();
      const prompt = page.getByRole('textbox', { name: 'Prompt', exact: true });
      await prompt.fill('a {red|green|blue} apple');
      await page.getByRole('button', { name: 'Styles' }).first().click();
      await page.getByRole('button', { name: 'Add Ink' }).click();
      await look(page, 'styles', 'desktop');
      await page.getByRole('button', { name: 'Add Dusk' }).click();
      await page.getByRole('button', { name: 'Take the last one back' }).click();
      await page.getByRole('button', { name: 'Close' }).click();
      const styled = 'ink drawing of a {red|green|blue} apple, fine';
      assert.equal(await prompt.inputValue(), styled);
      assert.equal(await page.getByRole('textbox', { name: 'Negative prompt' }).inputValue(), 'colour');
      await page.getByRole('checkbox', { name: /^Dynamic prompts/ }).check();
      const sent = nextJob(page);
      const { parameters } = await makePicture(page, styled);
      assert.equal((await sent)['dynamicPrompts'], true);
      assert.match(parameters, /^ink drawing of a (red|green|blue) apple, fine\n/);
    },
  ],
]);

test('The page in the browser: a LoRA, an inpainted part and a variation without a server', {
  skip: withoutPage,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sd-controls-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  await writeStyleLora(join(folder, 'ink.safetensors'));
  const { host, browser } = await startPage(t, () => serveFiles());
  const { page, problems } = await openPage(browser, host.url);
  const plain = await makePicture(page, 'grinning face');
  await dropFiles(page, [{ name: 'ink.safetensors', content: readFileSync(join(folder, 'ink.safetensors')) }]);
  await page.getByRole('button', { name: 'Add to the prompt' }).click();
  assert.equal(
    await page.getByRole('textbox', { name: 'Prompt', exact: true }).inputValue(),
    'grinning face <lora:ink:1>',
  );
  const styled = await makePicture(page, 'grinning face <lora:ink:1>');
  assert.ok(difference(plain.image, styled.image) > 0.5, 'the LoRA counts');
  await page.getByRole('button', { name: 'Make' }).waitFor();
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill('a <lora:missing:1>');
  await page.getByRole('button', { name: 'Make' }).click();
  await page.locator('.notice:visible').getByText('This browser does not have the LoRA missing').waitFor();
  await slider(page, 'Variation').fill('0.5');
  const varied = await makePicture(page, 'grinning face');
  assert.match(varied.parameters, /Variation seed strength: 0\.5/);
  assert.ok(difference(plain.image, varied.image) > 0.5);
  assert.equal(await page.getByText('Enlarge, then refine').count(), 0, 'a second pass is for servers');
  await page.getByRole('radio', { name: 'Inpaint' }).check();
  await paintMask(page, [0.7, 0.2], [0.7, 0.8]);
  await page.getByRole('checkbox', { name: 'Only the painted part, at full size' }).check();
  const inpainted = await makePicture(page, 'yellow star');
  assert.match(inpainted.parameters, /Inpaint area: Only masked, Masked area padding: 32/);
  const inside = difference(varied.image, inpainted.image, (x) => x > 85 && x < 95);
  const outside = difference(varied.image, inpainted.image, (x) => x < 60);
  assert.ok(outside < 1 && inside > 4 * outside, `levels changed: ${inside} inside the mask, ${outside} outside`);
  assert.deepEqual(problems, []);
});
