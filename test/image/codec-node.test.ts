/** The codec for Node against the conformance suite and the valid and hostile files of files/images. */

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec-node.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { codecConformance, type ExpectedFile } from './codec-conformance.ts';

const { files } = JSON.parse(readFileSync(reference('files/images/expected.json'), 'utf8')) as { readonly files: readonly ExpectedFile[] };

for (const { name, run } of codecConformance(nodeImageCodec, files, async (file) => new Uint8Array(await readFile(reference(`files/images/${file}`))))) {
  test(name, async () => {
    for (const row of await run()) recordParity({ part: 'files/images', case: name.split(':')[0] ?? name, reference: 'Pillow 13.0.0', ...row });
  });
}
