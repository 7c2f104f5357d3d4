/** Finds the recorded cases: a copy in `fixtures/`, else the full set beside the checkout. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';

const roots = [
  join(import.meta.dirname, '../fixtures'),
  process.env['SD_REFERENCE'],
  join(import.meta.dirname, '../../shared/reference'),
];

/** Path of a reference file or folder such as `networks/unet_sd`, or undefined where this machine lacks it. */
export function findReference(path: string): string | undefined {
  for (const root of roots) if (root && existsSync(join(root, path))) return join(root, path);
  return undefined;
}

/** As `findReference`; throws where it is missing. For the cases that are in `fixtures/`. */
export function reference(path: string): string {
  const found = findReference(path);
  if (!found) throw new Error(`reference data ${path} is neither in fixtures/ nor in ../shared/reference/`);
  return found;
}

/** For `test(name, { skip: skipUnless('…') }, …)`: false, or the reason. */
export function skipUnless(path: string): string | false {
  return findReference(path) ? false : `${path} is not in fixtures/ and ../shared/reference/ is not here`;
}
