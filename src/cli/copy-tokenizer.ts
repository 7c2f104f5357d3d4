/** The tokenizer of a diffusers folder, taken over into another one: the files that a tokenizer has, and no others. */

import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from '../files/make-folder-node.ts';
import { readFileOf, whatIsAt } from '../files/open-node.ts';
import { writeNewFile, writeNewText } from '../files/write-file-node.ts';
import { clipVocabularyFiles } from '../tokenizer/clip-vocabulary-files.ts';

const tokenizerFiles: ReadonlySet<string> = new Set([
  'vocab.json',
  'merges.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
]);

export interface VocabularyOptions {
  readonly rows: number;
  /** Tokens of a text. */
  readonly length: number;
  /** OpenCLIP's padding is the first token, CLIP's the end token (default). */
  readonly padsWithZero?: boolean;
}

/**
 * Writes a tokenizer's folder: that of another model, `source`, where it has one, else CLIP's own for `rows` tokens of texts of `length`. Gives the
 * names of what was left out. A link that leads out of the model is refused: its content would go into what a person shares.
 */
export async function writeTokenizer(
  folder: string,
  source: string | undefined,
  { rows, length, padsWithZero = false }: VocabularyOptions,
): Promise<readonly string[]> {
  await makeFolder(folder);
  if (source === undefined || (await whatIsAt(source)) !== 'folder') {
    for (const [name, text] of clipVocabularyFiles(rows, length, padsWithZero))
      await writeNewText(join(folder, name), text);
    return [];
  }
  const leftOut: string[] = [];
  for (const name of (await readdir(source)).sort()) {
    if (!tokenizerFiles.has(name)) leftOut.push(join(source, name));
    else
      await writeNewFile(join(folder, name), [
        await readFileOf('tokenizer', join(source, name), { within: dirname(source) }),
      ]);
  }
  return leftOut;
}
