/**
 * What the implementations of CLIP's tokenizer do with text before BPE: cleaning, and splitting into words.
 *
 * - `openai`: clip/simple_tokenizer.py. `ftfy.fix_text`, HTML unescaped twice, white space, lower case. What CLIP was trained with.
 * - `openai_noftfy`: the same without ftfy.
 * - `hf_slow_noftfy`: Hugging Face's `CLIPTokenizer` of transformers 4 where ftfy is not installed: BERT's cleaning.
 * - `hf_fast`: Hugging Face's `CLIPTokenizerFast` of transformers 4: NFC, white space, lower case.
 * - `hf5`: `CLIPTokenizer` of transformers 5: as `hf_fast`, with special tokens only in lower case.
 */

import { fixText } from './fix-text.ts';
import { unescapeHtml } from './html-entities.ts';
import { collapseWhiteSpace, isIdeograph, lowerEachCharacter, replaceLoneSurrogates, splitWords, strip, WHITE_SPACE } from './unicode-text.ts';

export const START_OF_TEXT = '<|startoftext|>';
export const END_OF_TEXT = '<|endoftext|>';

/** Splits text into words; `START_OF_TEXT` and `END_OF_TEXT` among them are the special tokens. */
export type WordSplitter = (text: string) => string[];

const CONTRACTION = "'[sſ]|'t|'re|'ve|'m|'ll|'d";
const WORD = `${CONTRACTION}|\\p{L}+|\\p{N}|[^${WHITE_SPACE}\\p{L}\\p{N}]+`;
/** The original ignores case, after lower-casing: that leaves the long s. */
const WORDS_AND_SPECIALS = new RegExp(`<\\|[sſ]tartoftext\\|>|<\\|endoftext\\|>|${WORD}`, 'gu');
const WORDS = new RegExp(WORD.replace('ſ', ''), 'gu');
const SPECIALS = /(<\|startoftext\|>|<\|endoftext\|>)/;

function words(text: string, pattern: RegExp): string[] {
  return text.match(pattern) ?? [];
}

/** Applies a splitter to the parts between special tokens. */
function betweenSpecials(text: string, split: WordSplitter): string[] {
  return text.split(SPECIALS).flatMap((part) => (part === START_OF_TEXT || part === END_OF_TEXT ? [part] : split(part)));
}

function openaiClean(text: string): string {
  return strip(collapseWhiteSpace(strip(unescapeHtml(unescapeHtml(text))))).toLowerCase();
}

function fastNormalize(text: string): string {
  return lowerEachCharacter(collapseWhiteSpace(replaceLoneSurrogates(text).normalize('NFC')));
}

/** `BasicTokenizer(strip_accents=False, do_split_on_punc=False)`, its words joined by spaces again. */
function bertClean(text: string): string {
  const cleaned = text.replace(/[\ufffd\p{C}]/gu, (character) => (/[\t\n\r]/.test(character) ? ' ' : ''));
  const spaced = cleaned.replace(/[\u3400-\u9fff\uf900-\ufaff\u{20000}-\u{2fa1f}]/gu, (character) =>
    isIdeograph(character.codePointAt(0) ?? 0, 0x2b820) ? ` ${character} ` : character,
  );
  return splitWords(spaced.normalize('NFC')).join(' ').toLowerCase();
}

export const CLIP_PROFILES = {
  openai: (text) => words(openaiClean(fixText(text)), WORDS_AND_SPECIALS),
  openai_noftfy: (text) => words(openaiClean(replaceLoneSurrogates(text)), WORDS_AND_SPECIALS),
  hf_slow_noftfy: (text) => betweenSpecials(text, (part) => words(bertClean(part), WORDS_AND_SPECIALS)),
  hf_fast: (text) => betweenSpecials(fastNormalize(text), (part) => words(part, WORDS)),
  hf5: (text) => betweenSpecials(text, (part) => words(fastNormalize(part), WORDS)),
} as const satisfies Record<string, WordSplitter>;

export type ClipProfile = keyof typeof CLIP_PROFILES;

/** The text as the `openai` profile cleans it, before it is split. */
export function cleanClipText(text: string): string {
  return openaiClean(fixText(text));
}
