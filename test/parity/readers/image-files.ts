/** Uploaded pictures, valid and hostile: the verdict, the pixels, and the texts in them. */

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { nodeImageCodec } from '../../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../../src/image/metadata/image-metadata.ts';
import { readPngText } from '../../../src/image/metadata/png-text.ts';
import { type ExpectedFile, fileConformance } from '../../image/codec-conformance.ts';
import { collecting } from '../comparisons.ts';
import type { Reader } from '../reader.ts';

export const reader: Reader = {
  set: 'files',
  reads: ({ exercises }) => /uploads/.test(String(exercises)),
  compare: collecting(async ({ setFolder, row }, compare) => {
    const path = join(setFolder, String(row['file']));
    const { files }: { files: readonly (ExpectedFile & { text?: Record<string, string> })[] } = JSON.parse(
      readFileSync(path, 'utf8'),
    );
    const load = async (file: string) => new Uint8Array(await readFile(join(dirname(path), file)));
    for (const [i, { run }] of fileConformance(nodeImageCodec, files, load).entries()) {
      const item = files[i]?.file;
      try {
        for (const { output, error, tolerance, note } of await run())
          compare.error(output, error, tolerance, { item, note });
      } catch (cause) {
        compare.error('verdict', 1, 0, { item, note: String(cause) });
      }
    }
    for (const { file, text } of files) {
      if (!text) continue;
      const bytes = await load(file);
      const { texts, dropped } = readPngText(bytes);
      compare.exact('texts', Object.fromEntries(texts), text, { item: file });
      compare.exact('dropped texts', dropped, [], { item: file });
      compare.exact('parameters', readImageMetadata(bytes).parameters, text['parameters'], { item: file });
    }
  }),
};
