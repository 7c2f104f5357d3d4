/** ComfyUI's official page at `/`, from a folder that the operator has (the static files of its package, which is not part of this one). */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { StableDiffusionError } from '../../errors.ts';

/** The page has an import map in its document and compiles templates: it needs more than ours. It still loads nothing from elsewhere. */
const contentSecurityPolicy = [
  "default-src 'self' blob: data:",
  "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob: data:",
  "connect-src 'self' blob: data:",
  "worker-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');

/** Throws `file-not-found` for a folder without the page. */
export function checkComfyuiPage(folder: string): void {
  if (existsSync(join(folder, 'index.html'))) return;
  throw new StableDiffusionError(
    'file-not-found',
    `${folder} has no index.html. Give the folder static of the package comfyui-frontend-package.`,
  );
}

export async function serveComfyuiPage(app: FastifyInstance, folder: string): Promise<void> {
  await app.register(fastifyStatic, {
    root: folder,
    index: ['index.html'],
    dotfiles: 'ignore',
    setHeaders(reply, path) {
      reply.header('content-security-policy', contentSecurityPolicy);
      // As ComfyUI: the browser asks again for what may change under the same name.
      if (/\.(?:html|js|css)$|index\.json$/.test(path) && !/[\\/]assets[\\/]/.test(path))
        reply.header('cache-control', 'no-cache');
    },
  });
}
