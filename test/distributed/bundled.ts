/** Programs from source in a few files, those of the whole run of tests if they are among them: a rank then starts in half the processor time that the sources take, which every thread reads one by one. */

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { bundleIn } from '../programs.ts';

const root = join(import.meta.dirname, '../..');
/** Threads that a program may start. */
const threads = ['src/cli/command-thread.ts', 'src/engine/node-worker.ts'];

async function bundle(script: string): Promise<string> {
  const folderOfRun = process.env['SD_TEST_BUNDLES'];
  if (folderOfRun && existsSync(bundleIn(folderOfRun, script))) return bundleIn(folderOfRun, script);
  // Two levels below the package, as the sources are: they find package.json and models/ from there.
  mkdirSync(join(root, 'build'), { recursive: true });
  const folder = mkdtempSync(join(root, 'build', 'ranks-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await build({
    absWorkingDir: root,
    entryPoints: [script, ...threads],
    outdir: folder,
    entryNames: '[name]',
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'error',
  });
  return join(folder, basename(script).replace(/ts$/, 'js'));
}

const made = new Map<string, Promise<string>>();

/** The path of a TypeScript file's program, made once for each process and removed at its end. */
export function bundled(script: string): Promise<string> {
  const known = made.get(script) ?? bundle(script);
  made.set(script, known);
  return known;
}
