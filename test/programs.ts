/** Programs of this package in processes of their own. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '..');

/** Where the bundle of a file lies in a folder of bundles (tools/test-bundles.ts): sources as in `dist`, other files by their path in the package. */
export const bundleIn = (folder: string, file: string): string =>
  join(folder, file.replace(/^src\//, '').replace(/\.ts$/, '.js'));

/**
 * Node's words that run a TypeScript file of the package, such as `src/cli/main.ts`: its bundle where `npm test` has made one, else its source.
 * `imports` are addresses of modules that run before it.
 */
export function nodeWords(file: string, imports: readonly string[] = []): string[] {
  const bundles = process.env['SD_TEST_BUNDLES'];
  const hooks = bundles ? imports : [pathToFileURL(join(root, 'tools/typescript.mjs')).href, ...imports];
  return [...hooks.flatMap((hook) => ['--import', hook]), bundles ? bundleIn(bundles, file) : join(root, file)];
}

/** Node's words that run `sd`. */
export const sdWords: readonly string[] = nodeWords('src/cli/main.ts');
