/** Words of lists that fit a picture by CLIP, which A1111 writes behind a caption (`InterrogateModels.rank` of v1.10.1): artists, mediums, movements. */

import type { FeaturesNetwork } from '../evaluation/features.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';

export interface Category {
  readonly name: string;
  /** How many of its words are taken: `flavors.top3.txt` says 3. */
  readonly count: number;
  readonly words: readonly string[];
}

export interface FittingWord {
  readonly word: string;
  /** Its share among the words of its list, 0 to 1. */
  readonly share: number;
}

/** A list from a file's name without `.txt` and its text. */
export function categoryOf(name: string, text: string): Category {
  const lines = text.replace(/\r\n?/g, '\n').split('\n');
  if (lines.at(-1) === '') lines.pop();
  const count = /\.top(\d{1,4})\./.exec(name)?.[1];
  return { name, count: count === undefined ? 1 : Number(count), words: lines.map((line) => line.trim()) };
}

function unit(row: Float32Array): Float32Array {
  const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
  return row.map((value) => value / length);
}

/** The fitting words of each list in turn; of a list at most its first `limit` words count, 0 for all. Throws `model-unknown` for a CLIP without texts. */
export async function fittingWords(
  clip: FeaturesNetwork,
  image: Image,
  categories: readonly Category[],
  { limit = 1500, signal }: { readonly limit?: number | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<FittingWord[]> {
  const { texts } = clip;
  if (!texts)
    throw new StableDiffusionError(
      'model-unknown',
      'Words are compared with pictures by a CLIP that has both its encoders.',
    );
  const { features } = await clip.pictures([image], signal);
  const picture = unit(features.data);
  const found: FittingWord[] = [];
  for (const { count, words: all } of categories) {
    const words = limit > 0 ? all.slice(0, limit) : all;
    if (words.length === 0) continue;
    const { data, shape } = await texts(words, signal);
    const width = shape[1] ?? 0;
    const scores = words.map((_, i) => {
      const word = unit(data.subarray(i * width, (i + 1) * width));
      return 100 * word.reduce((sum, value, j) => sum + value * (picture[j] as number), 0);
    });
    const highest = scores.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const powers = scores.map((score) => Math.exp(score - highest));
    const sum = powers.reduce((a, b) => a + b, 0);
    const ranked = words.map((word, i) => ({ word, share: (powers[i] as number) / sum }));
    found.push(...ranked.sort((a, b) => b.share - a.share).slice(0, count));
  }
  return found;
}

/** As A1111 joins them: `, WORD` each, or `, (WORD:0.123)`. */
export const wordsText = (words: readonly FittingWord[], shares: boolean): string =>
  words.map(({ word, share }) => (shares ? `, (${word}:${share.toFixed(3)})` : `, ${word}`)).join('');
