/**
 * Lets Node run the TypeScript sources as they are, in the main thread and in worker threads: `node --import ./tools/typescript.mjs FILE.ts`.
 * (Node 20 cannot strip types itself, and the usual loaders skip worker threads.)
 */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Loader hook: called on Node's loader thread for every module. */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  const { transform } = await import('esbuild');
  const source = await readFile(fileURLToPath(url), 'utf8');
  const { code } = await transform(source, {
    loader: 'ts',
    format: 'esm',
    target: 'node20',
    sourcemap: 'inline',
    sourcefile: fileURLToPath(url),
  });
  return { format: 'module', source: code, shortCircuit: true };
}

/** Loader hook: a worker is named as it is when compiled; in the sources it is the TypeScript file of that name. */
export async function resolve(specifier, context, next) {
  if (!specifier.startsWith('file:') || !specifier.endsWith('.js')) return next(specifier, context);
  const source = new URL(specifier.replace(/\.js$/, '.ts'));
  const isSource = !existsSync(fileURLToPath(specifier)) && existsSync(source);
  return next(isSource ? source.href : specifier, context);
}

register(import.meta.url);
