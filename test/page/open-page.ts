/** The built page in headless Chromium, with a server or with files alone, for tests. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import type { TestContext } from 'node:test';
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import type { Image } from '../../src/image/image.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import type { ApiKey } from '../../src/server/http/api-keys.ts';
import { type ServeOptions, startServer } from '../../src/server/server.ts';
import { launchBrowser, withoutBrowser } from '../engine/browser.ts';

const root = join(import.meta.dirname, '../..');
const built = join(root, 'web/dist');
const screenshots = join(root, 'build/screenshots');

/** For `test(name, { skip: withoutPage }, …)`: false, or why the page cannot be tested here. */
export const withoutPage: string | false =
  withoutBrowser ||
  (existsSync(join(built, 'index.html'))
    ? false
    : 'web/dist is not built (npm --prefix web ci && npm --prefix web run build)');

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webmanifest': 'application/manifest+json',
};

export interface PageHost {
  readonly url: string;
  close(): Promise<void>;
}

/** A host of static files that knows nothing of isolation, as many are. `others` are files in place of the page's own, by path. */
export async function serveFiles(others: Readonly<Record<string, string>> = {}): Promise<PageHost> {
  const server: Server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = others[path] ?? join(built, path === '/' ? 'index.html' : path);
    if (!(path in others || file.startsWith(built)) || !existsSync(file))
      return void response.writeHead(404).end('Not found');
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
    response.end(readFileSync(file));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** `sd serve` with the pocket model and the page, in this process. */
export async function servePage(
  keys: readonly ApiKey[] = [],
  folders: Pick<
    ServeOptions,
    'lorasFolder' | 'embeddingsFolder' | 'outputFolder' | 'controlFolders' | 'stylesFile'
  > = {},
): Promise<PageHost> {
  const folder = mkdtempSync(join(tmpdir(), 'sd-page-'));
  const server = await startServer({
    model: pocketModel,
    port: 0,
    logLevel: 'silent',
    dataFolder: folder,
    webFolder: built,
    keys,
    ...folders,
  });
  return {
    url: `${server.url}/`,
    async close() {
      await server.stop(0);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A host of the page and Chromium, both gone when the test is over. */
export async function startPage(
  t: TestContext,
  serve: () => Promise<PageHost>,
  options: Parameters<typeof launchBrowser>[0] = {},
): Promise<{ readonly host: PageHost; readonly browser: Browser }> {
  const host = await serve();
  const launched = launchBrowser(options);
  t.after(async () => {
    await launched.then(
      (browser) => browser.close(),
      () => {},
    );
    await host.close();
  });
  return { host, browser: await launched };
}

export interface OpenedPage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors of the page's scripts, which no test wants. */
  readonly problems: string[];
}

export const desktop = { viewport: { width: 1320, height: 860 } } as const satisfies BrowserContextOptions;
export const phone = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
} as const satisfies BrowserContextOptions;

/** Few steps, and a place where pictures are made, as if chosen on an earlier visit. */
export interface Visit {
  readonly place?: 'server' | 'browser';
  readonly provider?: 'wasm' | 'webgpu';
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly apiKey?: string;
}

export async function openPage(
  browser: Browser,
  url: string,
  visit: Visit = {},
  options: BrowserContextOptions = desktop,
): Promise<OpenedPage> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on('pageerror', (error) => problems.push(error.message));
  page.setDefaultTimeout(90_000);
  const remembered = {
    settings: { steps: 3, seed: 7, ...visit.settings },
    engine: {
      provider: visit.provider ?? 'wasm',
      server: '',
      apiKey: visit.apiKey ?? '',
      ...(visit.place ? { place: visit.place } : {}),
    },
  };
  await context.addInitScript((given: Readonly<Record<string, unknown>>) => {
    // Firefox asks the person, who does not answer here.
    if (isSecureContext) StorageManager.prototype.persist = () => new Promise(() => {});
    for (const [key, value] of Object.entries(given))
      if (localStorage.getItem(key) === null) localStorage.setItem(key, JSON.stringify(value));
  }, remembered);
  await page.goto(url);
  // A host without the headers is helped by the service worker, and one reload.
  await page.waitForFunction(() => crossOriginIsolated || !isSecureContext);
  await page.locator('.dot[data-state=ready]').waitFor();
  return { page, context, problems };
}

/** What the steps of a test share. */
export interface Stage extends OpenedPage {
  readonly host: PageHost;
  readonly browser: Browser;
}

/** What a page does, by name, one after another. */
export type PageSteps = Readonly<Record<string, (stage: Stage) => Promise<void>>>;

/** Runs the steps on one page. No script may fail meanwhile. */
export async function runSteps(
  t: TestContext,
  steps: PageSteps,
  serve: () => Promise<PageHost> = servePage,
): Promise<void> {
  const { host, browser } = await startPage(t, serve);
  const stage = { ...(await openPage(browser, host.url)), host, browser };
  for (const [name, run] of Object.entries(steps)) await t.test(name, () => run(stage));
  assert.deepEqual(stage.problems, [], 'no script has failed');
}

/** Makes a picture as the form stands, with a prompt, waits for it, and gives its pixels and the text of its settings. */
export async function makePicture(page: Page, prompt: string): Promise<MadePicture> {
  await page.getByRole('textbox', { name: 'Prompt', exact: true }).fill(prompt);
  await page.getByRole('button', { name: 'Make' }).click();
  return madePicture(page);
}

export interface MadePicture {
  readonly image: Image<3 | 4>;
  readonly parameters: string;
  readonly bytes: Uint8Array;
}

/** The picture that was made last, once it is there. */
export async function madePicture(page: Page): Promise<MadePicture> {
  await page.locator('.made-bar').waitFor();
  const numbers = await page
    .locator('.made img')
    .first()
    .evaluate(async (element) => [
      ...new Uint8Array(await (await fetch((element as HTMLImageElement).src)).arrayBuffer()),
    ]);
  const bytes = Uint8Array.from(numbers);
  return { bytes, image: await nodeImageCodec.decode(bytes), parameters: readImageMetadata(bytes).parameters ?? '' };
}

/** Mean difference of two pictures' levels, over those pixels that are asked for. */
export function difference(a: Image, b: Image, where: (x: number, y: number) => boolean = () => true): number {
  let sum = 0;
  let count = 0;
  for (let y = 0; y < a.height; y++) {
    for (let x = 0; x < a.width; x++) {
      if (!where(x, y)) continue;
      for (let c = 0; c < 3; c++)
        sum += Math.abs(
          (a.data[(y * a.width + x) * a.channels + c] ?? 0) - (b.data[(y * b.width + x) * b.channels + c] ?? 0),
        );
      count += 3;
    }
  }
  return sum / count;
}

/** A file dropped on the page. */
export interface DroppedFile {
  readonly name: string;
  readonly type?: string;
  /** Its bytes, or where the page gets them from. */
  readonly content: Uint8Array | string;
}

export async function dropFiles(page: Page, files: readonly DroppedFile[]): Promise<void> {
  const given = files.map(({ name, type = '', content }) => ({
    name,
    type,
    content: typeof content === 'string' ? content : [...content],
  }));
  const transfer = await page.evaluateHandle(async (list) => {
    const data = new DataTransfer();
    for (const { name, type, content } of list)
      data.items.add(
        new File([typeof content === 'string' ? await (await fetch(content)).blob() : Uint8Array.from(content)], name, {
          type,
        }),
      );
    return data;
  }, given);
  for (const event of ['dragenter', 'dragover', 'drop'])
    await page.dispatchEvent('main', event, { dataTransfer: transfer });
}

/** Paints a line over the mask, between points in shares of its sides. */
export async function paintMask(
  page: Page,
  from: readonly [number, number],
  to: readonly [number, number],
): Promise<void> {
  const box = await page.locator('.painter canvas').boundingBox();
  if (!box) throw new Error('There is no mask to paint.');
  const at = ([x, y]: readonly [number, number]): [number, number] => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(from));
  await page.mouse.down();
  await page.mouse.move(...at(to), { steps: 6 });
  await page.mouse.up();
}

/** How much of the mask is painted, 0 … 1. */
export async function paintedShare(page: Page): Promise<number> {
  return page.locator('.painter canvas').evaluate((element) => {
    const canvas = element as HTMLCanvasElement;
    const { data } = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height) ?? {
      data: new Uint8ClampedArray(),
    };
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) if ((data[i] ?? 0) > 127) painted++;
    return painted / (canvas.width * canvas.height);
  });
}

/** Into build/screenshots, to be looked at. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  await page.screenshot({ path: join(screenshots, `${name}.png`) });
}
