/** A page in headless Chromium for tests: bundles a script, serves it with ONNX Runtime's files from this machine, and runs it. */

import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Browser, chromium } from 'playwright-core';

const root = join(import.meta.dirname, '../..');
const candidates = [
  process.env['SD_CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const executable = candidates.find((path) => path !== undefined && existsSync(path));

/** For `test(name, { skip: withoutBrowser }, …)`: false, or why browser tests cannot run here. */
export const withoutBrowser: string | false = executable
  ? false
  : 'no Chromium on this machine (set SD_CHROMIUM to its path)';

/** What a page script reports: name of the check, and its error if it failed. */
export interface PageResult {
  readonly name: string;
  readonly error?: string;
  /** Code of a StableDiffusionError. */
  readonly code?: string;
  readonly value?: unknown;
}

const types: Readonly<Record<string, string>> = {
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
  html: 'text/html',
  safetensors: 'application/octet-stream',
  yaml: 'text/yaml',
};

function serve(scripts: Readonly<Record<string, string>>, files: Readonly<Record<string, string>>): Promise<Server> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    // Cross-origin isolation, so that WASM threads are there.
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    response.setHeader('Content-Type', types[path.split('.').at(-1) ?? ''] ?? 'text/html');
    const script = scripts[path];
    if (script !== undefined) return void response.end(script);
    if (path.startsWith('/ort/'))
      return void response.end(
        readFileSync(join(root, 'node_modules/onnxruntime-web/dist', path.slice(5).replaceAll('/', ''))),
      );
    const file = files[path];
    if (file === undefined && path !== '/') return void response.writeHead(404).end();
    if (file === undefined)
      return void response.end(
        '<!doctype html><title>test</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
      );
    const bytes = readFileSync(file);
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    response.setHeader('Accept-Ranges', 'bytes');
    if (!range)
      return void response.setHeader('Content-Length', bytes.length).end(request.method === 'HEAD' ? undefined : bytes);
    const [start, end] = [Number(range[1]), Math.min(Number(range[2]), bytes.length - 1)];
    response.writeHead(206, {
      'Content-Range': `bytes ${start}-${end}/${bytes.length}`,
      'Content-Length': end - start + 1,
    });
    response.end(bytes.subarray(start, end + 1));
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

export interface PageOptions {
  /** Files served by path, e.g. `{ '/model.safetensors': '/…/pocket.safetensors' }`. */
  readonly files?: Readonly<Record<string, string>>;
  /** More scripts by the path they are served under, e.g. `{ '/worker.js': 'test/browser/worker.ts' }`. */
  readonly scripts?: Readonly<Record<string, string>>;
  /** Query of the page's address, with the question mark. */
  readonly query?: string;
  /** Ask Chromium for WebGPU through its software driver. */
  readonly webgpu?: boolean;
  /** Names that lead to this machine: `MAP sd.lan 127.0.0.1`. */
  readonly hosts?: string;
}

/** Milliseconds for a browser to start and a page to load: minutes on a machine that has much other work. */
const patience = 300_000;

const quiet = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const softwareGpu = [
  '--enable-unsafe-webgpu',
  '--enable-features=Vulkan',
  '--use-webgpu-adapter=swiftshader',
  '--use-angle=swiftshader',
  '--ignore-gpu-blocklist',
];

/** Starts Chromium. */
export function launchBrowser(options: Pick<PageOptions, 'webgpu' | 'hosts'> = {}): Promise<Browser> {
  return chromium.launch({
    timeout: patience,
    ...(executable ? { executablePath: executable } : {}),
    args: [
      ...quiet,
      ...(options.webgpu ? softwareGpu : ['--disable-gpu']),
      ...(options.hosts ? [`--host-resolver-rules=${options.hosts}`] : []),
    ],
  });
}

async function bundled(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'chrome120',
    logLevel: 'error',
    conditions: ['onnxruntime-web-use-extern-wasm'],
  });
  return outputFiles[0]?.text ?? '';
}

/** Bundles `entry`, a module that sets `globalThis.results` to a promise of PageResult[], and returns what it resolves to. */
export async function runInPage<T = PageResult[]>(entry: string, options: PageOptions = {}): Promise<T> {
  const scripts: Record<string, string> = {};
  for (const [path, source] of Object.entries({ '/page.js': entry, ...options.scripts }))
    scripts[path] = await bundled(source);
  const server = await serve(scripts, options.files ?? {});
  const browser = await launchBrowser(options);
  try {
    const page = await browser.newPage();
    page.on('console', (message) =>
      message.type() === 'error' ? console.error(`page: ${message.text()}`) : undefined,
    );
    page.on('pageerror', (error) => console.error(`page: ${error.message}`));
    page.setDefaultTimeout(patience);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/${options.query ?? ''}`);
    await page.waitForFunction('globalThis.results !== undefined');
    return (await page.evaluate('globalThis.results')) as T;
  } finally {
    await browser.close();
    server.close();
  }
}
