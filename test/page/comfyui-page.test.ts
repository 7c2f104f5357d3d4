/** ComfyUI's official page (1.58.1), unmodified, in Chromium against our server. It is not part of this program: SD_COMFYUI_PAGE names its folder. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { launchBrowser, withoutBrowser } from '../engine/browser.ts';
import { pocketGraph } from '../server/comfyui-graph.ts';
import { startTestServer, type TestServer } from '../server/start.ts';
import { screenshot } from './open-page.ts';

const folder = process.env['SD_COMFYUI_PAGE'];
const skip =
  withoutBrowser ||
  (folder !== undefined && existsSync(join(folder, 'index.html'))
    ? false
    : 'no page of ComfyUI (set SD_COMFYUI_PAGE to the folder static of comfyui-frontend-package)');

interface Widget {
  readonly name: string;
  value: unknown;
  readonly options: { readonly values?: readonly string[] };
}
interface GraphNode {
  readonly type: string;
  readonly has_errors?: boolean;
  readonly widgets?: readonly Widget[];
  readonly imgs?: readonly HTMLImageElement[];
}
/** What the page shows scripts of itself. */
interface ComfyWindow {
  readonly app?: {
    readonly graph?: { readonly nodes?: readonly GraphNode[] };
    readonly extensionManager: { readonly command: { execute(name: string): Promise<void> } };
  };
}

interface HistoryEntry {
  readonly status: { readonly status_str: string; readonly messages: readonly (readonly [string, unknown])[] };
  readonly outputs: Readonly<Record<string, { readonly images: readonly { readonly filename: string }[] }>>;
}

let server: TestServer;
let browser: Browser;
before(async () => {
  if (skip) return;
  server = await startTestServer({ comfyuiPage: folder });
  browser = await launchBrowser({});
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

const history = async (): Promise<readonly HistoryEntry[]> =>
  Object.values((await server.json('GET', '/history')).body as Record<string, HistoryEntry>);

async function until<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  for (const end = Date.now() + 90_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const found = await ask();
    if (found !== undefined) return found;
  }
  throw new Error(`Not seen within 90 seconds: ${what}.`);
}

const historyOf = (count: number): Promise<readonly HistoryEntry[]> =>
  until(async () => {
    const found = await history();
    return found.length >= count ? found : undefined;
  }, `${count} finished workflows`);

/** A picture that ComfyUI's API made: it carries its graph. */
async function madePicture(): Promise<readonly number[]> {
  const { status } = await server.json('POST', '/prompt', { prompt: pocketGraph() });
  assert.equal(status, 200);
  const [entry] = await historyOf(1);
  const name = Object.values(entry?.outputs ?? {})[0]?.images[0]?.filename ?? '';
  return [...new Uint8Array(await (await fetch(`${server.url}/view?filename=${name}`)).arrayBuffer())];
}

async function drop(page: Page, name: string, type: string, content: readonly number[]): Promise<void> {
  const transfer = await page.evaluateHandle(
    (file) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(file.content)], file.name, { type: file.type }));
      return data;
    },
    { name, type, content },
  );
  for (const event of ['dragenter', 'dragover', 'drop'])
    await page.dispatchEvent('#graph-canvas', event, { dataTransfer: transfer });
}

const setValue = (page: Page, type: string, name: string, value: unknown): Promise<void> =>
  page.evaluate(
    (given) => {
      const nodes = (window as ComfyWindow).app?.graph?.nodes ?? [];
      const widget = nodes.find((node) => node.type === given.type)?.widgets?.find((one) => one.name === given.name);
      if (widget) widget.value = given.value;
    },
    { type, name, value },
  );

const nodesOf = (page: Page) =>
  page.evaluate(() =>
    ((window as ComfyWindow).app?.graph?.nodes ?? []).map(({ type, has_errors: wrong, widgets = [], imgs = [] }) => ({
      type,
      isWrong: wrong === true,
      pictures: imgs.length,
      values: Object.fromEntries(widgets.map(({ name, value }) => [name, value])),
      choices: widgets.find(({ name }) => name === 'ckpt_name')?.options.values ?? [],
    })),
  );

const command = (page: Page, name: string) =>
  page.evaluate((given) => (window as ComfyWindow).app?.extensionManager.command.execute(given), name);

const run = (page: Page): Promise<void> => page.getByRole('button', { name: /^Run/ }).first().click();

const opened = (page: Page, checkpoint: string) =>
  until(async () => {
    const nodes = await nodesOf(page);
    return nodes.find(({ values }) => values['ckpt_name'] === checkpoint) && nodes;
  }, `a graph with ${checkpoint}`);

test('the page opens a dropped picture, names a missing model, makes a picture, queues two and interrupts', {
  skip,
}, async () => {
  const picture = await madePicture();
  await server.json('POST', '/settings', { 'Comfy.TutorialCompleted': true });
  const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(90_000);
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  page.on('response', (answer) => {
    // ComfyUI has no such files either before a person makes them.
    const isExpected = /\/user\.css|\/userdata|\/templates\//.test(answer.url()) && answer.status() === 404;
    if (answer.status() >= 400 && !isExpected) problems.push(`${answer.status()} ${answer.url()}`);
  });
  await page.goto(server.url);
  await page.waitForFunction(() => ((window as ComfyWindow).app?.graph?.nodes?.length ?? 0) > 0);

  await drop(page, 'picture.png', 'image/png', picture);
  const nodes = await opened(page, 'pocket.safetensors');
  assert.equal(nodes.length, 7);
  assert.equal(nodes.find(({ type }) => type === 'KSampler')?.values['steps'], 2);
  await screenshot(page, 'comfyui-page-dropped');
  assert.deepEqual(problems, []);

  const missing = JSON.stringify(pocketGraph()).replace('pocket.safetensors', 'not-here.safetensors');
  await drop(page, 'missing.json', 'application/json', [...new TextEncoder().encode(missing)]);
  const loader = (await opened(page, 'not-here.safetensors')).find(({ type }) => type === 'CheckpointLoaderSimple');
  assert.deepEqual(loader?.choices, ['pocket.safetensors']);
  await run(page);
  await until(async () => (await nodesOf(page)).find(({ isWrong }) => isWrong), 'the mark of a node with an error');
  await screenshot(page, 'comfyui-page-missing');
  assert.equal((await history()).length, 1);
  await page.keyboard.press('Escape');
  problems.length = 0;

  await setValue(page, 'CheckpointLoaderSimple', 'ckpt_name', 'pocket.safetensors');
  await setValue(page, 'KSampler', 'seed', 5);
  // The page loads pictures of nodes that are in view.
  await command(page, 'Comfy.Canvas.FitView');
  await run(page);
  assert.equal((await historyOf(2)).at(-1)?.status.status_str, 'success');
  await until(async () => (await nodesOf(page)).find(({ pictures }) => pictures === 1), 'the picture in its node');
  await screenshot(page, 'comfyui-page-made');

  await setValue(page, 'KSampler', 'steps', 140);
  for (const seed of [6, 7]) {
    await setValue(page, 'KSampler', 'seed', seed);
    await run(page);
  }
  await until(async () => {
    const { body } = await server.json('GET', '/api/jobs?status=pending,in_progress');
    const { jobs } = body as { readonly jobs: readonly { readonly status: string }[] };
    return jobs.map(({ status }) => status).join() === 'pending,in_progress' ? true : undefined;
  }, 'one workflow that runs and one that waits');
  await screenshot(page, 'comfyui-page-queued');
  for (const count of [3, 4]) {
    await until(async () => {
      await command(page, 'Comfy.Interrupt');
      return (await history()).length >= count ? true : undefined;
    }, 'the end of an interrupted workflow');
  }
  assert.ok((await history()).slice(2).every(({ status }) => status.messages.at(-1)?.[0] === 'execution_interrupted'));
  await screenshot(page, 'comfyui-page-interrupted');
  assert.deepEqual(problems, []);
});
