/**
 * Lets Node run the TypeScript sources as they are, in the main thread and in worker threads: `node --import ./tools/typescript.mjs FILE.ts`.
 * (Node 20 cannot strip types itself, and the usual loaders skip worker threads.)
 */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { register } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';

/** Transformed files are kept here, one for each path: tests start hundreds of processes, each of which reads hundreds of files. */
const cache = join(import.meta.dirname, '../node_modules/.cache/typescript');
const form = { loader: 'ts', format: 'esm', target: 'node20' };
const version = readFileSync(join(import.meta.dirname, '../node_modules/esbuild/package.json'), 'utf8');
const digest = (...texts) => createHash('sha256').update(texts.join('\0')).digest('hex');
/** Length of a digest in a kept file, before the code. */
const digestLength = 64;

/** The code as JavaScript, kept if its source is as it was. */
async function transformed(path) {
  const source = await readFile(path, 'utf8');
  const key = digest(version, JSON.stringify(form), source);
  const kept = join(cache, `${digest(path).slice(0, 32)}.js`);
  const found = await readFile(kept, 'utf8').catch(() => '');
  if (found.startsWith(key)) return found.slice(digestLength);
  const { transform } = await import('esbuild');
  const { code } = await transform(source, { ...form, sourcefile: path });
  await keep(kept, key + code).catch(() => undefined);
  return code;
}

/** Other processes read and write at the same time, so a file comes whole under its name. */
async function keep(path, text) {
  mkdirSync(cache, { recursive: true });
  const temporary = `${path}.${process.pid}.${threadId}`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

/** Loader hook: called on Node's loader thread for every module. */
export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: await transformed(fileURLToPath(url)), shortCircuit: true };
}

/** Loader hook: a worker is named as it is when compiled; in the sources it is the TypeScript file of that name. */
export async function resolve(specifier, context, next) {
  // A source names others by their files, so there is nothing to look up.
  if (/^\.\.?\/.*\.ts$/.test(specifier))
    return { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true };
  if (!specifier.startsWith('file:') || !specifier.endsWith('.js')) return next(specifier, context);
  const source = new URL(specifier.replace(/\.js$/, '.ts'));
  const isSource = !existsSync(fileURLToPath(specifier)) && existsSync(source);
  return next(isSource ? source.href : specifier, context);
}

register(import.meta.url);
