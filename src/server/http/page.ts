/**
 * The page at `/`: the built files of web/. What runs in the browser alone, the small model and ONNX Runtime's WebAssembly, is taken from the
 * package where the build has no copies of its own, under the same addresses.
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { pocketModel } from '../../model/load-model-node.ts';

/** Address on the page, and the folder of the file. */
function filesElsewhere(): readonly (readonly [address: string, folder: string])[] {
  const models = dirname(pocketModel);
  const runtime = dirname(createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm'));
  return [
    ...['pocket.safetensors', 'pocket.yaml'].map((file) => [`models/${file}`, models] as const),
    ...['', '.asyncify'].flatMap((kind) =>
      ['mjs', 'wasm'].map((ending) => [`ort/ort-wasm-simd-threaded${kind}.${ending}`, runtime] as const),
    ),
  ];
}

const welcome =
  '<!doctype html><title>stable-diffusion-ts</title><p>The server runs, but its web page is not built. In a clone of the repository run <code>npm run page</code>, then start it again.</p><p>The APIs are described at <a href="/openapi.json">/openapi.json</a>.</p>';

/** Whether a folder holds the built page. */
export const hasPage = (folder: string | undefined): folder is string =>
  folder !== undefined && existsSync(join(folder, 'index.html'));

/** Serves the folder, or a short notice if it contains no page. */
export async function servePage(app: FastifyInstance, folder: string | undefined): Promise<void> {
  if (!hasPage(folder)) {
    app.get('/', async (_request, reply) => {
      await reply.type('text/html; charset=utf-8').send(welcome);
    });
    return;
  }
  await app.register(fastifyStatic, {
    root: folder,
    index: ['index.html'],
    dotfiles: 'ignore',
    // WebAssembly with threads needs an isolated page.
    setHeaders: (reply) =>
      void reply.headers({
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-embedder-policy': 'require-corp',
      }),
  });
  for (const [address, elsewhere] of filesElsewhere()) {
    // Routes of their own, because ComfyUI's API has `/models/NAME`.
    const name = existsSync(join(folder, address)) ? address : address.slice(address.indexOf('/') + 1);
    app.get(`/${address}`, (_request, reply) => reply.sendFile(name, name === address ? folder : elsewhere));
  }
}
