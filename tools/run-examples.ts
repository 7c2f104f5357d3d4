/** Runs every example for Node in a folder of its own, against the built package. Fails where one does. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const loader = join(root, 'tools/typescript.mjs');
const examples = readdirSync(join(root, 'examples')).filter((file) => file.endsWith('.ts'));
for (const example of examples) {
  const folder = mkdtempSync(join(tmpdir(), 'example-'));
  console.log(`== ${example}`);
  const { status } = spawnSync(process.execPath, ['--import', loader, join(root, 'examples', example)], {
    cwd: folder,
    stdio: 'inherit',
  });
  rmSync(folder, { recursive: true, force: true });
  if (status !== 0) {
    console.error(`${example} failed with exit code ${status}`);
    process.exitCode = 1;
  }
}
