/** CLIP's token ids of prompts: transformers', cut to 77, and openai/CLIP's own. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClipTokenizer } from '../../../src/tokenizer/clip-tokenizer.ts';
import { collecting } from '../comparisons.ts';
import { originalOf, type Reader } from '../reader.ts';

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'prompts' && /^(pypi:transformers .*CLIPTokenizer|openai\/CLIP )/.test(originalOf(row)),
  compare: collecting(({ row, setFolder }, compare) => {
    const rows: readonly { readonly prompt: string; readonly ids: readonly number[] }[] = JSON.parse(
      readFileSync(join(setFolder, String(row['file'])), 'utf8'),
    );
    const original = /simple_tokenizer/.test(originalOf(row));
    const tokenizer = createClipTokenizer({ profile: original ? 'openai' : 'hf5' });
    for (const [i, { prompt, ids }] of rows.entries()) {
      // The trailing padding, which is the end token, is not recorded but for the first.
      const cut = tokenizer.tokenize(prompt);
      compare.exact(`row ${i}`, original ? tokenizer.encode(prompt) : cut.ids.slice(0, cut.count), ids);
    }
  }),
};
