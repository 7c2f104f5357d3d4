/**
 * The cleaning of prompts that DeepFloyd IF was trained with, as diffusers' `IFPipeline._clean_caption`: links, markup, names of files, article
 * numbers, sizes and the like go, and punctuation is evened out. The pipelines clean twice.
 */

import { StableDiffusionError } from '../errors.ts';
import { fixText } from './fix-text.ts';
import { unescapeHtml } from './html-entities.ts';
import { htmlText } from './html-text.ts';

// Python's classes, which are of Unicode: characters of words without combining marks, decimal digits, spaces.
const w = String.raw`\p{L}\p{N}_`;
const d = String.raw`\p{Nd}`;
const s = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
/** An edge of a word. */
const b = `(?:(?<=[${w}])(?![${w}])|(?<![${w}])(?=[${w}]))`;

type Rule = readonly [pattern: RegExp, replacement: string];

const rule = (pattern: string, replacement = ''): Rule => [new RegExp(pattern, 'gu'), replacement];

const domains = 'com|co|ru|net|org|edu|gov|it';
const link = (scheme: string): Rule =>
  rule(String.raw`${b}((?:${scheme}:(?:/{1,3}|[a-zA-Z0-9%])|[a-zA-Z0-9.\-]+[.](?:${domains})[${w}/\-]*${b}/?(?!@)))`);
const files = 'png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4';

const beforeMarkup: readonly Rule[] = [rule('<person>', 'person'), link('https?'), link('www')];

const afterMarkup: readonly Rule[] = [
  rule(`@[${w}]+${b}`),
  // Chinese and Japanese signs, but not kana.
  rule('[\u31c0-\u31ff\u3200-\u4dff\u4e00-\u9fff]+'),
  rule(
    String.raw`[\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d]+`,
    '-',
  ),
  rule('[`´«»“”¨]', '"'),
  rule('[‘’]', "'"),
  rule('&quot;?'),
  rule('&amp'),
  rule(String.raw`[${d}]{1,3}\.[${d}]{1,3}\.[${d}]{1,3}\.[${d}]{1,3}`, ' '),
  rule(`[${d}]:[${d}][${d}][${s}]+$`),
  rule(String.raw`\\n`, ' '),
  rule(`#[${d}]{1,3}${b}`),
  rule(`#[${d}]{5,}${b}`),
  rule(`${b}[${d}]{6,}${b}`),
  rule(String.raw`[^${s}]+\.(?:${files})`),
  rule(`["']{2,}`, '"'),
  rule(String.raw`\.{2,}`, ' '),
  rule(String.raw`[#®•©™&@·º½¾¿¡§~)(\]\[}{|\\/*]+`, ' '),
  rule(String.raw`[${s}]+\.[${s}]+`, ' '),
];

const afterRepair: readonly Rule[] = [
  rule(`${b}[a-zA-Z]{1,3}[${d}]{3,15}${b}`),
  rule(`${b}[a-zA-Z]+[${d}]+[a-zA-Z]+${b}`),
  rule(`${b}[${d}]+[a-zA-Z]+[${d}]+${b}`),
  rule(`(?:worldwide[${s}]+)?(?:free[${s}]+)?shipping`),
  rule(`(?:free[${s}])?download(?:[${s}]free)?`),
  rule(`${b}click${b}[${s}](?:for|on)[${s}][${w}]+`),
  rule(`${b}(?:${files})(?:[${s}]images?)?`),
  rule(`${b}page[${s}]+[${d}]+${b}`),
  rule(`${b}[${d}]*[a-zA-Z]+[${d}]+[a-zA-Z]+[${d}]+[a-zA-Z${d}]*${b}`, ' '),
  rule(String.raw`${b}[${d}]+\.?[${d}]*[xх×][${d}]+\.?[${d}]*${b}`),
  rule(`${b}[${s}]+:[${s}]+`, ': '),
  rule(`([^${d}][,./])${b}`, '$1 '),
  rule(`[${s}]+`, ' '),
];

const atEnds: readonly Rule[] = [
  rule(`^["']([\\s\\S]+)["']$`, '$1'),
  rule(`^['_,\\-:;]`),
  rule(`['_,\\-:+]$`),
  rule(String.raw`^\.[^${s}]+$`),
];

const edges = new RegExp(`^[${s}]+|[${s}]+$`, 'gu');

const strip = (text: string): string => text.replace(edges, '');

const applied = (text: string, rules: readonly Rule[]): string =>
  rules.reduce((value, [pattern, replacement]) => value.replace(pattern, replacement), text);

/** Python's `urllib.parse.unquote_plus`: `+` is a space, `%41` an A; bytes that are no UTF-8 become U+FFFD. */
function unquotePlus(text: string): string {
  return text.replaceAll('+', ' ').replace(/[\0-\x7f]+/g, (run) => {
    if (!run.includes('%')) return run;
    const bytes: number[] = [];
    for (let i = 0; i < run.length; i++) {
      const escaped = /^%([0-9a-fA-F]{2})/.exec(run.slice(i, i + 3));
      bytes.push(escaped ? Number.parseInt(escaped[1] as string, 16) : run.charCodeAt(i));
      if (escaped) i += 2;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  });
}

/** Characters of a caption that is cleaned. The original's rules take quadratic time; the model reads some hundred characters. */
const longestCaption = 16_384;

function checkLength({ length }: string): void {
  if (length > longestCaption)
    throw new StableDiffusionError(
      'too-large',
      `The prompt has ${length} characters, and at most ${longestCaption} are cleaned. Shorten it, or leave the cleaning out.`,
    );
}

/** One cleaning. Throws `too-large`. */
export function cleanCaptionOnce(caption: string): string {
  checkLength(caption);
  return cleaned(caption);
}

function cleaned(caption: string): string {
  let text = applied(strip(unquotePlus(caption)).toLowerCase(), beforeMarkup);
  text = applied(htmlText(text), afterMarkup);
  if ((text.match(/[-_]/g) ?? []).length > 3) text = text.replace(/[-_]/g, ' ');
  text = unescapeHtml(unescapeHtml(fixText(text)));
  return strip(applied(applied(text, afterRepair), atEnds));
}

/** A prompt as the model is given it: cleaned twice, or only in lower case and without spaces at the ends. Throws `too-large`. */
export function cleanCaption(caption: string, isCleaned = true): string {
  if (!isCleaned) return strip(caption.toLowerCase());
  checkLength(caption);
  return cleaned(cleaned(caption));
}
