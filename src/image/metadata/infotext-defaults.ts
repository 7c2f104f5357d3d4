/**
 * The fields that A1111 v1.10.1 adds to a parsed infotext: defaults of fields that are written only when they differ, old hires-fix sizes, and the
 * switches that make pictures of older versions again (modules/infotext_utils.py, infotext_versions.py).
 */

import { comparePythonVersions, parsePythonVersion } from './python-version.ts';

type Fields = Map<string, string | number | boolean>;

const defaults: readonly (readonly [key: string, value: string | number | boolean])[] = [
  ['Hires sampler', 'Use same sampler'],
  ['Hires schedule type', 'Use same scheduler'],
  ['Hires checkpoint', 'Use same checkpoint'],
  ['Hires prompt', ''],
  ['Hires negative prompt', ''],
  ['Mask mode', 'Inpaint masked'],
  ['Masked content', 'original'],
  ['Inpaint area', 'Whole picture'],
  ['Masked area padding', 32],
];

const laterDefaults: typeof defaults = [
  ['RNG', 'GPU'],
  ['Schedule type', 'Automatic'],
  ['Schedule max sigma', 0],
  ['Schedule min sigma', 0],
  ['Schedule rho', 0],
  ['VAE Encoder', 'Full'],
  ['VAE Decoder', 'Full'],
  ['FP8 weight', 'Disable'],
];

function whole(value: string | number | boolean | undefined, otherwise: number): number | undefined {
  if (value === undefined) return otherwise;
  const number = typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) ? number : undefined;
}

/** Infotexts of before 2023 name the size of the first pass: it becomes the size, and the size what hires fix resizes to. */
function restoreOldHiresFix(fields: Fields): void {
  if (!fields.has('First pass size-1') || !fields.has('First pass size-2')) return;
  const width = whole(fields.get('Size-1'), 512);
  const height = whole(fields.get('Size-2'), 512);
  let firstWidth = whole(fields.get('First pass size-1'), 0);
  let firstHeight = whole(fields.get('First pass size-2'), 0);
  if (!width || !height || firstWidth === undefined || firstHeight === undefined) return;
  if (firstWidth === 0 || firstHeight === 0) {
    // About 512 x 512 pixels of the same shape, rounded up to multiples of 64.
    const scale = Math.sqrt((512 * 512) / (width * height));
    firstWidth = Math.ceil((scale * width) / 64) * 64;
    firstHeight = Math.ceil((scale * height) / 64) * 64;
  }
  fields
    .set('Size-1', firstWidth)
    .set('Size-2', firstHeight)
    .set('Hires resize-1', width)
    .set('Hires resize-2', height);
}

const attentionToken = /\\[()[\]\\]?|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|\]|[^\\()[\]:]+|:/g;

/** Whether A1111's emphasis syntax gives any part of the prompt a weight other than 1 (`prompt_parser.parse_prompt_attention`). */
export function usesEmphasis(prompt: string): boolean {
  const weights: number[] = [];
  const round: number[] = [];
  const square: number[] = [];
  const multiply = (from: number | undefined, by: number) => {
    for (let i = from ?? 0; i < weights.length; i++) weights[i] = (weights[i] as number) * by;
  };
  let brackets = 0;
  for (const [token, weight] of prompt.matchAll(attentionToken)) {
    if (token === '(' || token === '[') {
      if (++brackets > 4096) return true; // avoids quadratic work on text that is not a prompt
      (token === '(' ? round : square).push(weights.length);
    } else if (weight !== undefined && round.length > 0) multiply(round.pop(), Number(weight));
    else if (token === ')' && round.length > 0) multiply(round.pop(), 1.1);
    else if (token === ']' && square.length > 0) multiply(square.pop(), 1 / 1.1);
    else if (token.startsWith('\\')) weights.push(1);
    else for (const _part of token.split(/\bBREAK\b/)) weights.push(1); // BREAK itself has no weight
  }
  for (const from of round) multiply(from, 1.1);
  for (const from of square) multiply(from, 1 / 1.1);
  return weights.some((weight) => weight !== 1);
}

/** Switches for pictures of older versions, by the Version field. */
function setBackwardCompatibility(fields: Fields): void {
  const written = fields.get('Version');
  // "v1.7.0-200-gabcdef" is 200 commits after v1.7.0.
  const version = parsePythonVersion(typeof written === 'string' ? written.replace(/^([^-]+-[^-]+)-.*$/s, '$1') : '');
  if (!version) return;
  const before = (text: string): boolean => {
    const other = parsePythonVersion(text);
    return other !== undefined && comparePythonVersions(version, other) < 0;
  };
  if (before('1.6.0') && String(fields.get('Prompt')).includes('[')) fields.set('Old prompt editing timelines', true);
  if (before('1.6.0') && ['DDIM', 'PLMS'].includes(String(fields.get('Sampler')))) fields.set('Pad conds v0', true);
  if (before('1.7.0-225')) fields.set('Downcast alphas_cumprod', true);
  if (before('1.8.0') && fields.get('Refiner')) fields.set('Refiner switch by sampling steps', true);
}

/** Completes `fields` in place, in A1111's order. `prompt` and `negative` are as parsed, before a hypernetwork is added to the prompt. */
export function fillInfotextDefaults(fields: Fields, prompt: string, negative: string): void {
  const missing = (list: typeof defaults) => {
    for (const [key, value] of list) if (!fields.has(key)) fields.set(key, value);
  };
  missing([['Clip skip', '1']]);
  const hypernet = fields.get('Hypernet');
  if (hypernet !== undefined)
    fields.set('Prompt', `${prompt}<hypernet:${hypernet}:${fields.get('Hypernet strength') ?? '1.0'}>`);
  if (!fields.has('Hires resize-1')) fields.set('Hires resize-1', 0).set('Hires resize-2', 0);
  missing(defaults);
  restoreOldHiresFix(fields);
  missing(laterDefaults);
  if (fields.get('FP8 weight') !== 'Disable') missing([['Cache FP16 weight for LoRA', false]]);
  if (usesEmphasis(prompt) || usesEmphasis(negative)) missing([['Emphasis', 'Original']]);
  missing([['Refiner switch by sampling steps', false]]);
  setBackwardCompatibility(fields);
}
