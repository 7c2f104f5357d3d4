/**
 * Writes src/tokenizer/clip-merges-data.ts: the merges of CLIP in a compact form.
 *
 *   node --import ./tools/typescript.mjs tools/make-clip-merges.ts bpe_simple_vocab_16e6.txt.gz
 *
 * Input: `clip/bpe_simple_vocab_16e6.txt.gz` of https://github.com/openai/CLIP (MIT License, Copyright (c) 2021 OpenAI), lines 2 to 48,895.
 * Form: every merge as the token ids of its left and right symbol; four planes of 48,894 bytes (low bytes of left, high bytes of left, and
 * the same of right), zlib, base64: 214 KB where the text takes 278 KB.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zlibSync } from 'fflate';
import { BYTE_CHARACTERS } from '../src/tokenizer/byte-characters.ts';

const MERGES = 49_152 - 256 - 2;

const input = process.argv[2];
if (!input)
  throw new Error('usage: node --import ./tools/typescript.mjs tools/make-clip-merges.ts bpe_simple_vocab_16e6.txt.gz');
const lines = new TextDecoder()
  .decode(gunzipSync(readFileSync(input)))
  .split('\n')
  .slice(1, 1 + MERGES);

const ids = new Map<string, number>();
for (const end of ['', '</w>']) for (const character of BYTE_CHARACTERS) ids.set(character + end, ids.size);
const planes = new Uint8Array(4 * MERGES);
for (const [i, line] of lines.entries()) {
  const pair = line.split(' ');
  for (const side of [0, 1]) {
    const id = ids.get(pair[side] ?? '');
    if (id === undefined || pair.length !== 2)
      throw new Error(`merge ${i}, ${line}, uses a symbol that no earlier merge makes`);
    planes[2 * side * MERGES + i] = id & 255;
    planes[(2 * side + 1) * MERGES + i] = id >> 8;
  }
  ids.set(pair.join(''), ids.size);
}
if (ids.size !== 512 + MERGES) throw new Error(`${512 + MERGES} different tokens were expected, ${ids.size} found`);

const text = Buffer.from(zlibSync(planes, { level: 9, mem: 12 })).toString('base64');
writeFileSync(
  join(import.meta.dirname, '../src/tokenizer/clip-merges-data.ts'),
  `/**
 * The merges of CLIP, made by tools/make-clip-merges.ts (its comment describes the form) from clip/bpe_simple_vocab_16e6.txt.gz of
 * https://github.com/openai/CLIP. MIT License, Copyright (c) 2021 OpenAI.
 */
export const CLIP_MERGES_DATA =
  '${text}';
`,
);
