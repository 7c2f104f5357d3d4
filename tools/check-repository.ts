/** Before publishing: package.json must name the repository, by which the registry's page resolves the README's relative links and pictures. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const { repository } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
  readonly repository?: string | { readonly url?: string };
};
const url = typeof repository === 'string' ? repository : repository?.url;
if (!url) {
  console.error(
    "package.json names no repository, so the links and pictures of README.md would be dead on the registry's page. Set it: npm pkg set repository=github:OWNER/NAME",
  );
  process.exitCode = 1;
}
