/**
 * The test files and the programs that they start, bundled: a test file loads a few dozen files instead of up to 1400 sources, which takes a
 * third of the processor time.
 */

import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin, stop } from 'esbuild';
import { bundleIn } from '../test/programs.ts';

const root = join(import.meta.dirname, '..');
const sources = join(root, 'src');

/** Files that run as processes and threads of their own. */
const programs = [
  'src/cli/main.ts',
  'src/cli/command-thread.ts',
  'src/engine/node-worker.ts',
  'src/server/http/json-worker.ts',
  'src/server/pictures/picture-process.ts',
  'src/server/run/node-worker.ts',
  'src/server/run/picture-worker.ts',
  'src/training/data/parquet-worker-node.ts',
  'test/distributed/collectives-ranks.ts',
  'test/distributed/ddp-ranks.ts',
];

export interface TestBundles {
  /** Bundles of the test files. */
  readonly files: readonly string[];
  /** `cli/main.js` and other programs lie here as in `dist`. */
  readonly folder: string;
  remove(): void;
}

export async function bundleTests(files: readonly string[]): Promise<TestBundles> {
  removeLeftOver();
  // A folder of the package's root, as `dist` is: the programs find package.json, models/ and web/dist from there.
  const folder = join(root, `.tests-${process.pid}`);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  try {
    await build({
      absWorkingDir: root,
      entryPoints: [...files, ...programs].map((file) => ({ in: file, out: bundleIn('', file).replace(/\.js$/, '') })),
      outdir: folder,
      bundle: true,
      splitting: true,
      packages: 'external',
      format: 'esm',
      platform: 'node',
      target: 'node20',
      logLevel: 'error',
      plugins: [ownAddresses(folder)],
    });
  } catch (error) {
    remove();
    throw error;
  }
  // Its service would keep memory while the tests run.
  await stop();
  return { files: files.map((file) => bundleIn(folder, file)), folder, remove };
}

/** Each file keeps an address of its own: a test that of its source, where fixtures lie; a source that of its bundle, where programs lie. */
const ownAddresses = (folder: string): Plugin => ({
  name: 'own-addresses',
  setup(bundler) {
    bundler.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      if (!contents.includes('import.meta.')) return undefined;
      const own = path.startsWith(sources + sep) ? bundleIn(folder, relative(sources, path)) : path;
      const values: Readonly<Record<string, string>> = {
        url: pathToFileURL(own).href,
        dirname: dirname(own),
        filename: own,
      };
      return {
        loader: 'ts',
        contents: contents.replace(/\bimport\.meta\.(url|dirname|filename)\b/g, (_, name: string) =>
          JSON.stringify(values[name]),
        ),
      };
    });
  },
});

/** Folders of runs that ended without removing theirs. */
function removeLeftOver(): void {
  for (const name of readdirSync(root)) {
    const [, owner] = /^\.tests-(\d+)$/.exec(name) ?? [];
    if (owner !== undefined && !isRunning(Number(owner))) rmSync(join(root, name), { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
