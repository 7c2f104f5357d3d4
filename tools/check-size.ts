/**
 * Files have at most 300 lines and functions at most 70 (tools/size-limits.json, which Biome reads).
 *
 * Tables and closed sets are excepted, each by name.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** Tables and closed sets: reading one from top to bottom is how it is read. */
const tables: Readonly<Record<string, string>> = {
  'src/config/network-config.ts': 'a schema for each kind of network',
  'src/graph/operations.ts': 'the closed set of operations',
  'src/graph/functions.ts': 'a function for each operation',
  'src/models/index.ts': 'the table of networks',
  'src/cli/request-flags.ts': 'the table of flags',
};

interface Diagnostic {
  readonly category: string;
  readonly message: string;
  readonly location: { readonly path: string; readonly start?: { readonly line: number } };
}

const root = join(import.meta.dirname, '..');
const { stdout } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/@biomejs/biome/bin/biome'),
    'lint',
    '--config-path=tools/size-limits.json',
    '--max-diagnostics=none',
    '--reporter=json',
    ...['src', 'test', 'tools', 'bench', 'examples', 'web/src'],
  ],
  { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 },
);
const { diagnostics }: { readonly diagnostics: readonly Diagnostic[] } = JSON.parse(stdout);
const long = diagnostics.filter(({ category }) => /noExcessiveLinesPer(File|Function)$/.test(category));
for (const { message, location } of long.filter((one) => !(one.location.path in tables))) {
  console.error(`${location.path}:${location.start?.line ?? 1} ${message}`);
  process.exitCode = 1;
}
if (process.exitCode !== 1) console.log(`sizes are within the limits, but for ${Object.keys(tables).length} tables`);
