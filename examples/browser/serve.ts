/**
 * Serves this folder with the other files that the page needs: the library as one script, ONNX Runtime's files, and the pocket model.
 *
 *     node --import ./tools/typescript.mjs examples/browser/serve.ts      then open http://localhost:8080
 *
 * A page of your own needs the same: these files, byte ranges for the model (every usual web server has them), and the two headers for threads.
 */

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join, normalize } from 'node:path';
import { build } from 'esbuild';

const root = join(import.meta.dirname, '../..');
const types: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  mjs: 'text/javascript',
  wasm: 'application/wasm',
  yaml: 'text/yaml',
};

/** Folders by the beginning of the address. */
const folders: readonly (readonly [string, string])[] = [
  ['/ort/', join(root, 'node_modules/onnxruntime-web/dist')],
  ['/models/', join(root, 'models')],
  ['/', import.meta.dirname],
];

/** `library` is what the page imports: the package itself, or its entry in this repository's sources. */
export async function serveExample(port: number, library = 'stable-diffusion-ts'): Promise<Server> {
  const contents = `export * from ${JSON.stringify(library)}`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    logLevel: 'error',
    // ONNX Runtime's .wasm files are served, not embedded.
    conditions: ['onnxruntime-web-use-extern-wasm'],
  });
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    if (path === '/stable-diffusion.js')
      return void response.setHeader('Content-Type', 'text/javascript').end(outputFiles[0]?.contents);
    const [prefix, folder] = folders.find(([start]) => path.startsWith(start)) ?? ['/', import.meta.dirname];
    const file = join(folder, normalize(`/${path === '/' ? 'index.html' : path.slice(prefix.length)}`));
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
    const { size } = statSync(file);
    response.setHeader('Content-Type', types[file.split('.').at(-1) ?? ''] ?? 'application/octet-stream');
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const [start, end] = range ? [Number(range[1]), Math.min(Number(range[2]), size - 1)] : [0, size - 1];
    response.writeHead(range ? 206 : 200, {
      'Accept-Ranges': 'bytes',
      'Content-Length': end - start + 1,
      ...(range ? { 'Content-Range': `bytes ${start}-${end}/${size}` } : {}),
    });
    createReadStream(file, { start, end }).pipe(response);
  });
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

if (process.argv[1] === import.meta.filename) {
  await serveExample(8080);
  console.log('http://localhost:8080');
}
