/** The key lists of full-size files: each is recognised without its configuration, and every name and shape has its place in the networks. */

import { join } from 'node:path';
import { openCheckpoint } from '../../../src/checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../../../src/checkpoints/checkpoint-networks.ts';
import { assertNetworksMatch } from '../../../src/model/network-set.ts';
import { keySource } from '../../families/key-lists.ts';
import { collecting } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

/** The UNet's inputs that tell each family, by a word of what the row exercises. */
const families: readonly (readonly [RegExp, string])[] = [
  [/inpainting/i, 'inpaint'],
  [/upscaler/i, 'upscale'],
  [/unCLIP/i, 'variation'],
  [/depth/i, 'depth'],
];

export const reader: Reader = {
  set: 'families',
  reads: ({ files }, part) => part === 'keys' && Array.isArray(files),
  compare: collecting(async ({ row, setFolder: folder }, compare) => {
    const [file = ''] = row['files'] as string[];
    const source = keySource(join(folder, file));
    compare.exact('keys', source.entries.size, row['keys']);
    const checkpoint = await openCheckpoint(source);
    const kind = families.find(([pattern]) => pattern.test(String(row['exercises'])))?.[1] ?? 'txt2img';
    compare.exact('kind', checkpoint.kind, kind);
    compare.exact('unused', checkpoint.unused, []);
    assertNetworksMatch(checkpointNetworks(checkpoint).values());
    compare.exact('networks', true, true);
  }),
};
