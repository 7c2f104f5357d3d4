/** axe on the page: what it finds in a view, in light and dark. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { screenshot, withoutPage } from './open-page.ts';

const axe = join(import.meta.dirname, '../../web/node_modules/axe-core/axe.min.js');
/** False, or why pages cannot be checked here. */
export const withoutAxe = withoutPage || (existsSync(axe) ? false : 'axe-core is not installed in web/');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
}

/** A view in light and dark: no violation, nothing wider than the screen, and a picture of each. */
export async function check(page: Page, view: string, device: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    const name = `${view}-${colorScheme}-${device}`;
    const { violations } = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as {
      readonly violations: readonly Violation[];
    };
    assert.deepEqual(
      violations.map(
        ({ id, nodes }) =>
          `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary ?? ''}`).join('; ')}`,
      ),
      [],
      name,
    );
    const tooWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
    assert.ok(!tooWide, `${name}: wider than the screen`);
    await screenshot(page, name);
  }
}

/** Loads axe into the page; again after it is loaded anew. */
export async function withAxe(page: Page): Promise<void> {
  await page.evaluate(readFileSync(axe, 'utf8'));
}
