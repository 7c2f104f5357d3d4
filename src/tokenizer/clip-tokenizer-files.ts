/** CLIP's tokenizer from the files of a Hugging Face `tokenizer/` folder: `vocab.json`, `merges.txt`, `tokenizer_config.json`. */

import { StableDiffusionError } from '../errors.ts';
import { buildClipTokenizer, type ClipTokenizer } from './clip-encoder.ts';
import type { ClipProfile } from './clip-text.ts';
import { type VocabularyFiles, vocabularyOfFiles } from './clip-vocabulary.ts';

export interface ClipTokenizerFiles {
  /** Content of `merges.txt`: a line with the version, then one merge a line. */
  readonly merges: string;
  /** Content of `vocab.json`, an object of tokens. Default: bytes, merges, start, end, in this order. */
  readonly vocab?: string;
  /** Content of `tokenizer_config.json`: names of the special tokens, and `model_max_length`. */
  readonly config?: string;
  /** Default `openai`. */
  readonly profile?: ClipProfile;
}

/** Merges that the reference reads of a file; later ones it ignores. */
const MAX_MERGES = 49_152 - 256 - 2;
/** A larger `model_max_length` means no limit. */
const MAX_LENGTH = 1_000_000;

/** Throws `file-corrupt` with the name of the file that is not as it should be. */
export function createClipTokenizerFromFiles({
  merges,
  vocab,
  config,
  profile = 'openai',
}: ClipTokenizerFiles): ClipTokenizer {
  const settings = config === undefined ? {} : jsonObject(config, 'tokenizer_config.json');
  const specials = {
    start: tokenName(settings['bos_token']) ?? '<|startoftext|>',
    end: tokenName(settings['eos_token']) ?? '<|endoftext|>',
  };
  const files: VocabularyFiles = {
    merges: parseMerges(merges),
    ...specials,
    unknown: tokenName(settings['unk_token']) ?? specials.end,
    ...(vocab === undefined ? {} : { tokens: parseVocab(vocab) }),
  };
  const vocabulary = vocabularyOfFiles(files);
  const padName = tokenName(settings['pad_token']);
  const padId = padName === undefined ? vocabulary.endId : (files.tokens?.get(padName) ?? vocabulary.endId);
  const maxLength = Number(settings['model_max_length'] ?? 77);
  const length = Number.isInteger(maxLength) && maxLength >= 2 && maxLength <= MAX_LENGTH ? maxLength : 77;
  return buildClipTokenizer({ vocabulary, profile, padId, length });
}

function parseMerges(text: string): [string, string][] {
  const lines = text.trim().split('\n');
  if (/#version:/.test(lines[0] ?? '')) lines.shift();
  return lines
    .slice(0, MAX_MERGES)
    .filter((line) => line.trim() !== '')
    .map((line, i) => {
      const [left, right, ...more] = line.trim().split(/\s+/);
      if (left === undefined || right === undefined || more.length > 0) {
        throw new StableDiffusionError(
          'file-corrupt',
          `merges.txt: merge ${i + 1} is ${JSON.stringify(line)}; two symbols separated by a space were expected.`,
        );
      }
      return [left, right];
    });
}

function parseVocab(text: string): Map<string, number> {
  const tokens = new Map<string, number>();
  for (const [name, token] of Object.entries(jsonObject(text, 'vocab.json'))) {
    if (typeof token !== 'number' || !Number.isInteger(token) || token < 0 || token > 0xff_ffff) {
      throw new StableDiffusionError(
        'file-corrupt',
        `vocab.json: the token of ${JSON.stringify(name)} is ${JSON.stringify(token)}; an integer was expected.`,
      );
    }
    tokens.set(name, token);
  }
  return tokens;
}

function jsonObject(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (cause) {
    throw new StableDiffusionError('file-corrupt', `${file} is not JSON.`, { cause });
  }
  throw new StableDiffusionError('file-corrupt', `${file} is not a JSON object.`);
}

/** A special token is written as its text or as an object with `content`. */
function tokenName(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'object' && value !== null && 'content' in value && typeof value.content === 'string')
    return value.content;
  return undefined;
}
