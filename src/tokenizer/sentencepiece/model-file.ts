/** SentencePiece's model file (`spiece.model`, sentencepiece_model.proto): pieces with their scores, and how texts are normalised. */

import { StableDiffusionError } from '../../errors.ts';
import { type ProtoField, protoFields } from '../../files/protobuf-reader.ts';

/** Kinds of pieces, by their numbers in the file. */
const pieceKinds = new Map([
  [1, 'normal'],
  [2, 'unknown'],
  [3, 'control'],
  [4, 'user-defined'],
  [5, 'unused'],
  [6, 'byte'],
] as const);
export type PieceKind = typeof pieceKinds extends Map<number, infer K> ? K : never;

export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: PieceKind;
}

export interface NormalizerSettings {
  /** Double array and replacements (`charsmap.ts`). Empty: texts stay as they are. */
  readonly charsmap: Uint8Array;
  /** Default true: a space is put in front of the text. */
  readonly addDummyPrefix: boolean;
  /** Default true: runs of spaces become one, and those at the ends go. */
  readonly removeExtraWhitespaces: boolean;
  /** Default true: spaces are written `▁`. */
  readonly escapeWhitespaces: boolean;
  /** Default false: the dummy space is put behind the text. */
  readonly whitespaceAsSuffix: boolean;
}

export interface SentencePieceModel {
  readonly algorithm: 'unigram' | 'bpe';
  readonly pieces: readonly Piece[];
  readonly unknownId: number;
  /** -1 where the model has none. */
  readonly startId: number;
  readonly endId: number;
  readonly padId: number;
  /** Characters without a piece become the pieces of their bytes, not the unknown one. */
  readonly byteFallback: boolean;
  readonly normalizer: NormalizerSettings;
}

const mostPieces = 1 << 22;

const decoder = new TextDecoder();

const numberOf = (field: ProtoField): number => (field.kind === 'varint' ? Number(BigInt.asIntN(32, field.value)) : 0);
const bytesOf = (field: ProtoField): Uint8Array => (field.kind === 'bytes' ? field.bytes : new Uint8Array());
const floatOf = (field: ProtoField): number =>
  field.kind === 'fixed32' ? new DataView(field.bytes.buffer, field.bytes.byteOffset, 4).getFloat32(0, true) : 0;

function pieceOf(bytes: Uint8Array, label: string): Piece {
  let [text, score, number] = ['', 0, 1];
  for (const field of protoFields(bytes, label)) {
    if (field.field === 1) text = decoder.decode(bytesOf(field));
    else if (field.field === 2) score = floatOf(field);
    else if (field.field === 3) number = numberOf(field);
  }
  const kind = pieceKinds.get(number as 1);
  if (!kind)
    throw new StableDiffusionError(
      'file-corrupt',
      `${label}: the piece ${JSON.stringify(text)} is of the unknown kind ${number}.`,
    );
  return { text, score, kind };
}

/** The numbers of a message that has only numbers of interest, by field. */
function numbersOf(bytes: Uint8Array, label: string): ReadonlyMap<number, number> {
  return new Map(
    Array.from(protoFields(bytes, label)).flatMap((field) =>
      field.kind === 'varint' ? [[field.field, numberOf(field)] as const] : [],
    ),
  );
}

const algorithms = new Map([
  [1, 'unigram'],
  [2, 'bpe'],
] as const);

/** Throws `file-corrupt` for a file that is none, `config-invalid` for the kinds `word` and `char`. */
export function readSentencePieceModel(bytes: Uint8Array, label = 'spiece.model'): SentencePieceModel {
  const pieces: Piece[] = [];
  let trainer: ReadonlyMap<number, number> = new Map();
  let normalizer: ReadonlyMap<number, number> = new Map();
  let charsmap: Uint8Array = new Uint8Array();
  for (const field of protoFields(bytes, label)) {
    if (field.field === 1) pieces.push(pieceOf(bytesOf(field), label));
    else if (field.field === 2) trainer = numbersOf(bytesOf(field), label);
    else if (field.field === 3) {
      normalizer = numbersOf(bytesOf(field), label);
      for (const inner of protoFields(bytesOf(field), label)) if (inner.field === 2) charsmap = bytesOf(inner);
    }
    if (pieces.length > mostPieces)
      throw new StableDiffusionError('too-large', `${label} has more than ${mostPieces} pieces.`);
  }
  const algorithm = algorithms.get((trainer.get(3) ?? 1) as 1);
  if (!algorithm)
    throw new StableDiffusionError(
      'config-invalid',
      `${label} is a SentencePiece model of kind ${trainer.get(3) === 3 ? 'word' : 'char'}; unigram and bpe are supported.`,
    );
  const unknownId = pieces.findIndex(({ kind }) => kind === 'unknown');
  if (unknownId < 0) throw new StableDiffusionError('file-corrupt', `${label} has no piece for unknown characters.`);
  const id = (text: string): number => pieces.findIndex((piece) => piece.kind === 'control' && piece.text === text);
  return {
    algorithm,
    pieces,
    unknownId,
    startId: id('<s>'),
    endId: id('</s>'),
    padId: id('<pad>'),
    byteFallback: trainer.get(35) === 1,
    normalizer: {
      charsmap,
      addDummyPrefix: normalizer.get(3) !== 0,
      removeExtraWhitespaces: normalizer.get(4) !== 0,
      escapeWhitespaces: normalizer.get(5) !== 0,
      whitespaceAsSuffix: trainer.get(24) === 1,
    },
  };
}
