/**
 * A prompt of any length as sequences for CLIP, each token with its weight (`tokenize_line`, modules/sd_hijack_clip.py of A1111 v1.10.1).
 * A sequence that is full is ended behind its last comma, if that is near, so that what belongs together stays together.
 */

import type { ClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { parsePromptAttention } from './attention.ts';
import type { Emphasis } from './emphasis.ts';

export interface PromptChunk {
  /** Start, tokens of the text, end as often as there is room. */
  readonly ids: readonly number[];
  /** A weight for each of them. */
  readonly weights: readonly number[];
}

export interface ChunkOptions {
  /** Tokens of a sequence with its start and end. Default 77. */
  readonly length?: number | undefined;
  /** Maximum number of tokens after the last comma that move to the next sequence; 0 splits anywhere. Default 20. */
  readonly commaBacktrack?: number | undefined;
  /** With `None` brackets and BREAK are text. Default `Original`. */
  readonly emphasis?: Emphasis | undefined;
}

/** A sequence without text. */
export function emptyChunk({ startId, endId }: ClipTokenizer, length = 77): PromptChunk {
  return {
    ids: [startId, ...Array.from({ length: length - 1 }, () => endId)],
    weights: Array.from({ length }, () => 1),
  };
}

/**
 * The sequences of a prompt, at least one, and how many tokens of them are in use.
 * @throws `invalid-argument` for a weight that is not a number
 */
export function promptChunks(
  tokenizer: ClipTokenizer,
  prompt: string,
  { length = 77, commaBacktrack = 20, emphasis = 'Original' }: ChunkOptions = {},
): { readonly chunks: readonly PromptChunk[]; readonly count: number } {
  const { startId, endId } = tokenizer;
  const room = length - 2;
  const [comma] = tokenizer.encode(',');
  // The vectors of an embedding stay together.
  const vectors = new Map(tokenizer.placeholders.map(({ ids }) => [ids[0], ids.length]));
  const chunks: PromptChunk[] = [];
  let ids: number[] = [];
  let weights: number[] = [];
  let lastComma = -1;
  let count = 0;
  const finish = (isLast = false): void => {
    count += isLast ? ids.length : room;
    const rest = Math.max(0, room - ids.length);
    chunks.push({
      ids: [startId, ...ids, ...Array.from({ length: rest }, () => endId), endId],
      weights: [1, ...weights, ...Array.from({ length: rest }, () => 1), 1],
    });
    [ids, weights, lastComma] = [[], [], -1];
  };
  const pieces = emphasis === 'None' ? ([[prompt, 1]] as const) : parsePromptAttention(prompt);
  for (const [text, weight] of pieces) {
    if (text === 'BREAK' && weight === -1) {
      finish();
      continue;
    }
    const tokens = tokenizer.encode(text);
    for (let position = 0; position < tokens.length; ) {
      const token = tokens[position] as number;
      if (token === comma) lastComma = ids.length;
      else if (
        commaBacktrack !== 0 &&
        ids.length === room &&
        lastComma !== -1 &&
        ids.length - lastComma <= commaBacktrack
      ) {
        const [movedIds, movedWeights] = [ids.slice(lastComma + 1), weights.slice(lastComma + 1)];
        [ids, weights] = [ids.slice(0, lastComma + 1), weights.slice(0, lastComma + 1)];
        finish();
        [ids, weights] = [movedIds, movedWeights];
      }
      if (ids.length === room) finish();
      const together = Math.min(vectors.get(token) ?? 1, room);
      if (ids.length + together > room) finish();
      for (const id of tokens.slice(position, position + together)) {
        ids.push(id);
        weights.push(weight);
      }
      position += together;
    }
  }
  if (ids.length > 0 || chunks.length === 0) finish(true);
  return { chunks, count };
}
