/** The tokenizer of a diffusers folder, taken over into another one: the files that a tokenizer has, and no others. */

import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../files/make-folder-node.ts';
import { readFileOf, whatIsAt } from '../files/open-node.ts';
import { clipVocabularyFiles } from '../tokenizer/clip-vocabulary-files.ts';

const tokenizerFiles: ReadonlySet<string> = new Set([
  'vocab.json',
  'merges.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
]);

/**
 * Writes `folder`/tokenizer: from the model `from` where it has one, else CLIP's own for `rows` tokens of texts of `length`. Gives the
 * names of what was left out. A link that leads out of `from` is refused: its content would go into what a person shares.
 */
export async function writeTokenizer(
  folder: string,
  from: string | undefined,
  { rows, length }: { readonly rows: number; readonly length: number },
): Promise<readonly string[]> {
  await makeFolder(folder);
  const source = from === undefined ? undefined : join(from, 'tokenizer');
  if (from === undefined || source === undefined || (await whatIsAt(source)) !== 'folder') {
    for (const [name, text] of clipVocabularyFiles(rows, length)) await writeFile(join(folder, name), text);
    return [];
  }
  const leftOut: string[] = [];
  for (const name of (await readdir(source)).sort()) {
    if (!tokenizerFiles.has(name)) leftOut.push(join(source, name));
    else await writeFile(join(folder, name), await readFileOf('tokenizer', join(source, name), { within: from }));
  }
  return leftOut;
}
