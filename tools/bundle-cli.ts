/**
 * Bundles the thread that runs the commands, after `tsc`: dist/command/. A command needs some 500 modules, and Node takes about a third of
 * a millisecond to find and read each of them. Dependencies stay outside, and so do the programs of other threads: both are loaded by their own names.
 */

import { mkdir, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

const dist = join(import.meta.dirname, '../dist');
const folder = join(dist, 'command');

/** A module finds files by their place beside it, so each keeps the address that it has unbundled. */
const ownAddresses: Plugin = {
  name: 'own-addresses',
  setup(bundle) {
    bundle.onLoad({ filter: /\.js$/ }, async ({ path }) => {
      const address = JSON.stringify(relative(folder, path).replaceAll('\\', '/'));
      const text = await readFile(path, 'utf8');
      return { contents: text.replaceAll('import.meta.url', `new URL(${address}, import.meta.url).href`) };
    });
  },
};

await rm(folder, { recursive: true, force: true });
await mkdir(folder);
await build({
  entryPoints: [join(dist, 'cli/command-thread.js')],
  outdir: folder,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  packages: 'external',
  // A fifth less to read and to scan. Names stay, for stacks.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
  plugins: [ownAddresses],
});
