/**
 * Text processing of CLIP's tokenizer before BPE, in its different implementations: normalisation and splitting into words.
 *
 * - `openai`: clip/simple_tokenizer.py. `ftfy.fix_text`, HTML unescaped twice, white space, lower case. What CLIP was trained with.
 * - `openai_noftfy`: the same without ftfy.
 * - `hf_slow_noftfy`: Hugging Face's `CLIPTokenizer` of transformers 4 where ftfy is not installed: BERT's cleaning.
 * - `hf_fast`: Hugging Face's `CLIPTokenizerFast` of transformers 4: NFC, white space, lower case.
 * - `hf5`: `CLIPTokenizer` of transformers 5: as `hf_fast`, with special tokens only in lower case.
 */

import { fixText } from './fix-text.ts';
import { unescapeHtml } from './html-entities.ts';
import {
  characterClass,
  collapseWhiteSpace,
  isIdeograph,
  lowerEachCharacter,
  normalize,
  replaceLoneSurrogates,
  splitWords,
  strip,
  WHITE_SPACE,
} from './unicode-text.ts';

export const START_OF_TEXT = '<|startoftext|>';
export const END_OF_TEXT = '<|endoftext|>';

/** Splits text into words; `START_OF_TEXT` and `END_OF_TEXT` among them are the special tokens. */
export type WordSplitter = (text: string) => string[];

const CONTRACTION = "'[sſ]|'t|'re|'ve|'m|'ll|'d";
/**
 * The original ignores case, after lower-casing. That leaves the long s; and the iota subscript U+0345, a mark that is the upper case of a
 * letter, is then neither letter nor other and drops out.
 */
const WORDS_AND_SPECIALS = new RegExp(
  `<\\|[sſ]tartoftext\\|>|<\\|endoftext\\|>|${CONTRACTION}|\\p{L}+|\\p{N}|[^${WHITE_SPACE}\\p{L}\\p{N}\\u0345]+`,
  'gu',
);

/** Letters (L) and numbers (N) that are younger than Unicode 13, up to Unicode 17: Hugging Face's tokenizers 0.20 has them as other characters. */
const LATER = characterClass(`
88f c5c cdc 1c89-1c8a a7cb-a7cf a7d2 a7d4 a7da-a7dc a7f1 105c0-105f3 10940-10959 10d4a-10d65 10d6f-10d85 10ec2-10ec7 1123f-11240
11380-11389 1138b 1138e 11390-113b5 113b7 113d1 113d3 11bc0-11be0 11db0-11ddb 11f02 11f04-11f10 11f12-11f33 1342f 13441-13446
13460-143fa 16100-1611d 16d40-16d6c 16ea0-16eb8 16ebb-16ed3 16ff2-16ff3 187f8-187ff 18cff 18d09-18d1e 18d80-18df2 1b132 1b155
1df25-1df2a 1e030-1e06d 1e4d0-1e4eb 1e5d0-1e5ed 1e5f0 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed 1e6f0-1e6f4 1e6fe-1e6ff
2b739-2b73f 2cea2-2cead 2ebf0-2ee5d 31350-33479 10d40-10d49 116d0-116e3 11bf0-11bf9 11de0-11de9 11f50-11f59 16130-16139 16d70-16d79
16ff4-16ff6 1ccf0-1ccf9 1d2c0-1d2d3 1e4f0-1e4f9 1e5f1-1e5fa
`);
/** Characters added after Unicode 16. */
const LATER_17 = characterClass(`
88f c5c cdc a7ce-a7cf a7d2 a7d4 a7f1 10940-10959 10ec5-10ec7 11db0-11ddb 16ea0-16eb8 16ebb-16ed3 16ff2-16ff3 187f8-187ff 18d09-18d1e
18d80-18df2 1e6c0-1e6de 1e6e0-1e6e2 1e6e4-1e6e5 1e6e7-1e6ed 1e6f0-1e6f4 1e6fe-1e6ff 2b73a-2b73f 2cea2-2cead 323b0-33479 11de0-11de9
16ff4-16ff6
`);

function fastWords(later: string, specials: string): RegExp {
  const contraction = CONTRACTION.replace('ſ', '');
  const other = `(?:[${later}]|[^${WHITE_SPACE}\\p{L}\\p{N}])+`;
  return new RegExp(`${specials}${contraction}|(?:(?![${later}])\\p{L})+|(?![${later}])\\p{N}|${other}`, 'gu');
}
const FAST_WORDS = fastWords(LATER, '');
const HF5_WORDS = fastWords(LATER_17, '<\\|startoftext\\|>|<\\|endoftext\\|>|');
const SPECIALS = /(<\|startoftext\|>|<\|endoftext\|>)/;

/** A special token that only lower-casing made is three words. */
function splitSpecial(word: string): string[] {
  return word === START_OF_TEXT || word === END_OF_TEXT ? ['<|', word.slice(2, -2), '|>'] : [word];
}

function words(text: string, pattern: RegExp): string[] {
  return text.match(pattern) ?? [];
}

/** Applies a splitter to the parts between special tokens. */
function betweenSpecials(text: string, split: WordSplitter): string[] {
  return text
    .split(SPECIALS)
    .flatMap((part) => (part === START_OF_TEXT || part === END_OF_TEXT ? [part] : split(part)));
}

function openaiClean(text: string): string {
  return strip(collapseWhiteSpace(strip(unescapeHtml(unescapeHtml(text))))).toLowerCase();
}

function fastNormalize(text: string): string {
  return lowerEachCharacter(collapseWhiteSpace(normalize(replaceLoneSurrogates(text), 'NFC')));
}

/** `BasicTokenizer(strip_accents=False, do_split_on_punc=False)`, its words joined by spaces again. */
function bertClean(text: string): string {
  const cleaned = text.replace(/[\ufffd\p{C}]/gu, (character) => (/[\t\n\r]/.test(character) ? ' ' : ''));
  const spaced = cleaned.replace(/[\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{2fa1f}]/gu, (character) =>
    isIdeograph(character.codePointAt(0) ?? 0, 0x2b820) ? ` ${character} ` : character,
  );
  return splitWords(normalize(spaced, 'NFC')).join(' ').toLowerCase();
}

export const CLIP_PROFILES = {
  openai: (text) => words(openaiClean(fixText(text)), WORDS_AND_SPECIALS),
  openai_noftfy: (text) => words(openaiClean(replaceLoneSurrogates(text)), WORDS_AND_SPECIALS),
  hf_slow_noftfy: (text) => betweenSpecials(text, (part) => words(bertClean(part), WORDS_AND_SPECIALS)),
  hf_fast: (text) => betweenSpecials(fastNormalize(text), (part) => words(part, FAST_WORDS)),
  hf5: (text) => betweenSpecials(text, (part) => words(fastNormalize(part), HF5_WORDS).flatMap(splitSpecial)),
} as const satisfies Record<string, WordSplitter>;

export type ClipProfile = keyof typeof CLIP_PROFILES;

/** The text as the `openai` profile cleans it, before it is split. */
export function cleanClipText(text: string): string {
  return openaiClean(fixText(text));
}
