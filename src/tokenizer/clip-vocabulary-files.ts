/** CLIP's vocabulary as the files of a Hugging Face `tokenizer/` folder. The inverse of `clip-tokenizer-files.ts`. */

import { BYTE_CHARACTERS, TOKEN_BYTES } from './byte-characters.ts';
import { clipMergePairs } from './clip-merges.ts';
import { vocabularyOfPairs } from './clip-vocabulary.ts';

const START = '<|startoftext|>';
const END = '<|endoftext|>';
const characterOf = new Map(TOKEN_BYTES.map((byte, i) => [byte, BYTE_CHARACTERS[i] as string]));

/** Texts of the files by name, for an embedding of `rows` rows and sequences of `length`. OpenCLIP's tokenizer pads with token 0, `!`. */
export function clipVocabularyFiles(rows: number, length: number, padsWithZero = false): ReadonlyMap<string, string> {
  const pairs = clipMergePairs();
  const vocabulary = vocabularyOfPairs(pairs, rows);
  const symbol = (token: number): string => {
    const text = vocabulary.textOf(token);
    return text ? text.bytes.map((byte) => characterOf.get(byte)).join('') + (text.endsWord ? '</w>' : '') : '';
  };
  const tokens = new Map<string, number>();
  for (let token = 0; token < vocabulary.startId; token++) tokens.set(symbol(token), token);
  tokens.set(START, vocabulary.startId).set(END, vocabulary.endId);
  const merges = Array.from(
    { length: vocabulary.startId - 512 },
    (_, rank) => `${symbol(pairs.left[rank] as number)} ${symbol(pairs.right[rank] as number)}`,
  );
  const special = {
    bos_token: START,
    eos_token: END,
    pad_token: padsWithZero ? symbol(0).replace('</w>', '') : END,
    unk_token: END,
  };
  const config = {
    tokenizer_class: 'CLIPTokenizer',
    add_prefix_space: false,
    do_lower_case: true,
    errors: 'replace',
    model_max_length: length,
    ...special,
  };
  return new Map([
    ['vocab.json', JSON.stringify(Object.fromEntries(tokens))],
    ['merges.txt', `#version: 0.2\n${merges.join('\n')}\n`],
    ['tokenizer_config.json', `${JSON.stringify(config, null, 2)}\n`],
    ['special_tokens_map.json', `${JSON.stringify(special, null, 2)}\n`],
  ]);
}
