/** The pieces of a SentencePiece model as its algorithms look them up: by their bytes, byte by byte. */

import type { PieceKind } from './model-file.ts';

/** One piece, by its number. */
export interface KnownPiece {
  readonly id: number;
  readonly score: number;
  readonly kind: PieceKind;
}

/** A tree of bytes. Its nodes are numbers; 0 is the root. */
export interface PieceTree {
  /** The node that a byte leads to, or undefined. */
  next(node: number, byte: number): number | undefined;
  /** The piece that ends at a node. */
  pieceAt(node: number): KnownPiece | undefined;
}

const encoder = new TextEncoder();

/** The tree of texts with their pieces. Of a text that is there twice the first counts. */
export function pieceTree(texts: Iterable<readonly [string, KnownPiece]>): PieceTree {
  const edges = new Map<number, number>();
  const pieces = new Map<number, KnownPiece>();
  let nodes = 1;
  for (const [text, piece] of texts) {
    let node = 0;
    for (const byte of encoder.encode(text)) {
      const key = node * 256 + byte;
      const to = edges.get(key) ?? nodes++;
      edges.set(key, to);
      node = to;
    }
    if (node !== 0 && !pieces.has(node)) pieces.set(node, piece);
  }
  return { next: (node, byte) => edges.get(node * 256 + byte), pieceAt: (node) => pieces.get(node) };
}

/** The longest piece of a tree at `start`: its number of bytes, 0 for none. */
export function longestPrefix(tree: PieceTree, bytes: Uint8Array, start: number): number {
  let node: number | undefined = 0;
  let longest = 0;
  for (let at = start; at < bytes.length; at++) {
    node = tree.next(node, bytes[at] as number);
    if (node === undefined) break;
    if (tree.pieceAt(node)) longest = at + 1 - start;
  }
  return longest;
}

/** Bytes of the UTF-8 character that begins at `start`. */
export function characterLength(bytes: Uint8Array, start: number): number {
  const first = bytes[start] as number;
  const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return Math.min(length, bytes.length - start);
}
