/** The SentencePiece tokenizer (Kudo & Richardson 2018, arXiv 1808.06226) of T5: texts to ids, `</s>` at the end, `<pad>` behind it. */

import { StableDiffusionError } from '../../errors.ts';
import { bpeSegments } from './bpe.ts';
import { readCharsmap } from './charsmap.ts';
import { readSentencePieceModel, type SentencePieceModel } from './model-file.ts';
import { normalizePieces } from './normalize.ts';
import { type KnownPiece, pieceTree } from './pieces.ts';
import { type Segment, unigramSegments } from './unigram.ts';

export interface SentencePieceTokenizer {
  readonly vocabSize: number;
  readonly endId: number;
  readonly padId: number;
  readonly unknownId: number;
  readonly length: number;
  /** Tokens of a text of any length, without the end. Throws `too-large` for more than a million characters. */
  readonly encode: (text: string) => number[];
  /** The same as texts; unknown parts as they stand. */
  readonly pieces: (text: string) => string[];
  /** The text, the end token, and padding up to `length` tokens; `count` is without padding. Throws `invalid-argument` for a length below 1. */
  readonly tokenize: (
    text: string,
    options?: { readonly length?: number },
  ) => { ids: number[]; count: number; truncated: boolean };
  /** The tokens' text. */
  readonly decode: (ids: Iterable<number>) => string;
}

const mostCharacters = 1_000_000;

/** Unknown parts in a row become one. */
function withoutRepeatedUnknown(segments: readonly Segment[], unknownId: number): Segment[] {
  const joined: Segment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (last && segment.id === unknownId && last.id === unknownId)
      joined[joined.length - 1] = { ...last, end: segment.end };
    else joined.push(segment);
  }
  return joined;
}

/** Bytes of normalised texts to segments, by the model's algorithm. */
function segmentation(model: SentencePieceModel): (bytes: Uint8Array) => Segment[] {
  const known = model.pieces.map(({ text, score, kind }, id): [string, KnownPiece] => [text, { id, score, kind }]);
  const usable = known.filter(([text, { kind }]) => text !== '' && ['normal', 'user-defined', 'unused'].includes(kind));
  const tree = pieceTree(usable);
  const { unknownId } = model;
  if (model.algorithm === 'bpe') {
    const userDefined = pieceTree(usable.filter(([, { kind }]) => kind === 'user-defined'));
    return (bytes) => bpeSegments(bytes, { tree, userDefined, unknownId });
  }
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [, { score, kind }] of known)
    if (kind === 'normal') [least, greatest] = [Math.min(least, score), Math.max(greatest, score)];
  return (bytes) => unigramSegments(bytes, { tree, unknownId, least, greatest });
}

/** The parts of a text with the bytes that they cover; a character without a piece is a part for each byte where the model says so. */
function encoder(model: SentencePieceModel): (text: string) => { readonly id: number; readonly bytes: Uint8Array }[] {
  const { normalizer, unknownId, pieces } = model;
  const charsmap =
    normalizer.charsmap.length > 0 ? readCharsmap(normalizer.charsmap, 'The SentencePiece model') : undefined;
  const userDefined = pieceTree(
    pieces.flatMap(({ text, score, kind }, id) =>
      kind === 'user-defined' && text !== '' ? [[text, { id, score, kind }] as const] : [],
    ),
  );
  const segments = segmentation(model);
  const byteIds = new Map(pieces.flatMap(({ text, kind }, id) => (kind === 'byte' ? [[text, id] as const] : [])));
  const byteId = (byte: number): number =>
    byteIds.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`) ?? unknownId;
  return (text) => {
    if (text.length > mostCharacters)
      throw new StableDiffusionError(
        'too-large',
        `The text has ${text.length} characters; at most ${mostCharacters} can be tokenized.`,
      );
    const bytes = normalizePieces(text, normalizer, charsmap, userDefined);
    const found = segments(bytes);
    const parts = model.byteFallback ? found : withoutRepeatedUnknown(found, unknownId);
    return parts.flatMap(({ id, start, end }) => {
      const own = bytes.subarray(start, end);
      if (!model.byteFallback || id !== unknownId) return [{ id, bytes: own }];
      return Array.from(own, (byte, i) => ({ id: byteId(byte), bytes: own.subarray(i, i + 1) }));
    });
  };
}

/** ` ⁇ `, as SentencePiece writes an unknown part. */
const unknownText = ' \u2047 ';

/** Ids to text, as SentencePiece's decoder: `▁` are spaces. One goes in front of the text; of folded spaces one of each piece up to the text. */
function decodeIds({ normalizer, pieces }: SentencePieceModel, ids: Iterable<number>): string {
  const { addDummyPrefix: adds, removeExtraWhitespaces: folds } = normalizer;
  const out: number[] = [];
  const utf8 = new TextEncoder();
  let strips = adds || folds;
  for (const id of ids) {
    const piece = pieces[id];
    if (!piece || piece.kind === 'control') continue;
    if (piece.kind === 'byte') out.push(Number.parseInt(piece.text.slice(3, 5), 16));
    else {
      const own = piece.kind === 'unknown' ? unknownText : piece.text;
      const isMarked = strips && own.startsWith('\u2581');
      out.push(...utf8.encode((isMarked ? own.slice(1) : own).replaceAll('\u2581', ' ')));
      if (isMarked && !folds) strips = false;
    }
    if (out.length > 0) strips = false;
  }
  return new TextDecoder().decode(Uint8Array.from(out));
}

/** A tokenizer of a model that has been read. `length` is that of `tokenize`, by default 77. */
export function sentencePieceTokenizer(model: SentencePieceModel, length = 77): SentencePieceTokenizer {
  const encodeParts = encoder(model);
  const encode = (text: string): number[] => encodeParts(text).map(({ id }) => id);
  const endId = model.endId >= 0 ? model.endId : 1;
  const padId = Math.max(model.padId, 0);
  const decoder = new TextDecoder();
  return {
    vocabSize: model.pieces.length,
    endId,
    padId,
    unknownId: model.unknownId,
    length,
    encode,
    pieces: (text) =>
      encodeParts(text).map(({ id, bytes }) =>
        model.pieces[id]?.kind === 'byte' ? (model.pieces[id]?.text ?? '') : decoder.decode(bytes),
      ),
    tokenize: (text, { length: wanted = length } = {}) => {
      if (!Number.isInteger(wanted) || wanted < 1)
        throw new StableDiffusionError(
          'invalid-argument',
          `A sequence of ${wanted} tokens has no room for </s>. The length must be an integer of at least 1.`,
        );
      const all = encode(text);
      const ids = [...all.slice(0, wanted - 1), endId];
      const count = ids.length;
      while (ids.length < wanted) ids.push(padId);
      return { ids, count, truncated: all.length > wanted - 1 };
    },
    decode: (ids) => decodeIds(model, ids),
  };
}

/** A tokenizer from the bytes of `spiece.model`. Throws `file-corrupt`, `config-invalid`. */
export function createSentencePieceTokenizer(bytes: Uint8Array, length?: number): SentencePieceTokenizer {
  return sentencePieceTokenizer(readSentencePieceModel(bytes), length);
}
