/** SentencePiece's unigram segmentation (Kudo 2018, arXiv 1804.10959): the best path by the sum of scores, in float32 as unigram_model.cc. */

import { characterLength, type KnownPiece, type PieceTree } from './pieces.ts';

/** A part of the text, as bytes [start, end), and its piece. */
export interface Segment {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export interface UnigramPieces {
  readonly tree: PieceTree;
  readonly unknownId: number;
  /** Smallest and largest score of a normal piece. */
  readonly least: number;
  readonly greatest: number;
}

/** A character without a piece scores this much less than the worst piece. */
const unknownPenalty = 10;

/** Pieces of the user always win: a bonus by their length. */
function scoreOf({ kind, score }: KnownPiece, length: number, greatest: number): number {
  return kind === 'user-defined' ? Math.fround(length * greatest) - 0.1 : score;
}

/** The segments of a text, first to last. */
export function unigramSegments(bytes: Uint8Array, { tree, unknownId, least, greatest }: UnigramPieces): Segment[] {
  const size = bytes.length;
  const best = new Float32Array(size + 1);
  const from = new Int32Array(size + 1).fill(-1);
  const ids = new Int32Array(size + 1);
  const unknownScore = Math.fround(least - unknownPenalty);
  const offer = (end: number, start: number, id: number, score: number): void => {
    if (from[end] !== -1 && score <= (best[end] as number)) return;
    [best[end], from[end], ids[end]] = [score, start, id];
  };
  for (let start = 0; start < size; ) {
    const till = best[start] as number;
    const character = characterLength(bytes, start);
    let hasCharacter = false;
    let node: number | undefined = 0;
    for (let at = start; at < size; at++) {
      node = tree.next(node, bytes[at] as number);
      if (node === undefined) break;
      const piece = tree.pieceAt(node);
      if (!piece || piece.kind === 'unused') continue;
      const length = at + 1 - start;
      offer(at + 1, start, piece.id, scoreOf(piece, length, greatest) + till);
      hasCharacter ||= length === character;
    }
    if (!hasCharacter) offer(start + character, start, unknownId, Math.fround(unknownScore + till));
    start += character;
  }
  const segments: Segment[] = [];
  for (let end = size; end > 0; end = from[end] as number)
    segments.push({ id: ids[end] as number, start: from[end] as number, end });
  return segments.reverse();
}
