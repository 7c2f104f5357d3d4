/** A page with a server that has a LoRA and an output folder, and the steps of a test over it. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { writeStyleLora } from '../style-lora.ts';
import { check, withAxe, withoutAxe } from './axe.ts';
import { openPage, type PageHost, servePage, startPage } from './open-page.ts';

export const root = join(import.meta.dirname, '../..');

/** A number beside a slider. */
export const slider = (page: Page, name: string) =>
  page.getByRole('spinbutton', { name: `${name}, exact`, exact: true });

/** The body of the next job that the page sends. */
export async function nextJob(page: Page): Promise<Record<string, unknown>> {
  const request = await page.waitForRequest(
    (candidate) => candidate.method() === 'POST' && /\/api\/v1\/jobs$/.test(candidate.url()),
  );
  return request.postDataJSON() as Record<string, unknown>;
}

/** axe, in light and dark, and pictures of both. */
export async function look(page: Page, view: string, device: string): Promise<void> {
  await withAxe(page);
  await check(page, view, device);
}

export interface Visited {
  readonly page: Page;
  readonly host: PageHost;
  readonly browser: Browser;
  /** The server's folder of LoRAs. */
  readonly loras: string;
}

export type Step = readonly [name: string, run: (visited: Visited) => Promise<void>];

/** Steps that follow one another on one page. */
export function testSteps(name: string, steps: readonly Step[]): void {
  test(name, { skip: withoutAxe }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sd-controls-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const [loras, outputs] = [join(folder, 'loras'), join(folder, 'outputs')];
    const styles = join(folder, 'styles.csv');
    writeFileSync(styles, 'name,prompt,negative_prompt\nInk,"ink drawing of {prompt}, fine",colour\nDusk,at dusk,\n');
    mkdirSync(loras);
    await writeStyleLora(join(loras, 'ink.safetensors'));
    writeFileSync(
      join(loras, 'ink.json'),
      JSON.stringify({ 'activation text': 'ink style, brush', 'preferred weight': 0.8 }),
    );
    copyFileSync(join(root, 'web/public/icon-192.png'), join(loras, 'ink.preview.png'));
    const { host, browser } = await startPage(t, () =>
      servePage([], { lorasFolder: loras, outputFolder: outputs, stylesFile: styles }),
    );
    const { page, problems } = await openPage(browser, host.url);
    for (const [step, run] of steps) await t.test(step, () => run({ page, host, browser, loras }));
    assert.deepEqual(problems, [], 'no script has failed');
  });
}
