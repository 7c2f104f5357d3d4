/** SentencePiece's byte-pair encoding (bpe_model.cc): neighbours are joined by the score of the piece that they make, the leftmost first. */

import { characterLength, longestPrefix, type PieceTree } from './pieces.ts';
import type { KnownPiece } from './pieces.ts';
import type { Segment } from './unigram.ts';

interface Pair {
  readonly left: number;
  readonly right: number;
  readonly score: number;
  /** Bytes of both together: a pair is out of date where they have changed. */
  readonly size: number;
}

/** The better pair has the higher score, then lies further left. */
const isBetter = (a: Pair, b: Pair): boolean => a.score > b.score || (a.score === b.score && a.left < b.left);

/** Takes the best pair out of a heap. */
function take(heap: Pair[]): Pair | undefined {
  const [best] = heap;
  const last = heap.pop();
  if (!best || !last || heap.length === 0) return best;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBetter(heap[child + 1] as Pair, heap[child] as Pair)) child++;
    if (!isBetter(heap[child] as Pair, last)) break;
    heap[at] = heap[child] as Pair;
    at = child;
  }
  heap[at] = last;
  return best;
}

function put(heap: Pair[], pair: Pair): void {
  let at = heap.push(pair) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBetter(pair, heap[parent] as Pair)) break;
    heap[at] = heap[parent] as Pair;
    at = parent;
  }
  heap[at] = pair;
}

export interface BpePieces {
  readonly tree: PieceTree;
  /** Pieces of the user: never joined with others. */
  readonly userDefined: PieceTree;
  readonly unknownId: number;
}

interface Symbol {
  start: number;
  end: number;
  previous: number;
  next: number;
  readonly isFrozen: boolean;
}

/** The characters of a text, pieces of the user whole. */
function symbolsOf(bytes: Uint8Array, userDefined: PieceTree): Symbol[] {
  const symbols: Symbol[] = [];
  for (let start = 0; start < bytes.length; ) {
    const own = longestPrefix(userDefined, bytes, start);
    const end = start + (own > 0 ? own : characterLength(bytes, start));
    const index = symbols.length;
    symbols.push({ start, end, previous: index - 1, next: end < bytes.length ? index + 1 : -1, isFrozen: own > 0 });
    start = end;
  }
  return symbols;
}

/** The segments of a text, first to last. */
export function bpeSegments(bytes: Uint8Array, { tree, userDefined, unknownId }: BpePieces): Segment[] {
  const pieceOf = (start: number, end: number): KnownPiece | undefined => {
    let node: number | undefined = 0;
    for (let at = start; at < end && node !== undefined; at++) node = tree.next(node, bytes[at] as number);
    return node === undefined ? undefined : tree.pieceAt(node);
  };
  const symbols = symbolsOf(bytes, userDefined);
  const heap: Pair[] = [];
  /** Where a piece that is not used was joined, by its bytes. */
  const joints = new Map<string, number>();
  const key = (start: number, end: number): string => bytes.subarray(start, end).join();
  const offer = (left: number, right: number): void => {
    const [a, b] = [symbols[left], symbols[right]];
    if (!a || !b || a.isFrozen || b.isFrozen) return;
    const piece = pieceOf(a.start, b.end);
    if (!piece) return;
    put(heap, { left, right, score: piece.score, size: b.end - a.start });
    if (piece.kind === 'unused') joints.set(key(a.start, b.end), a.end - a.start);
  };
  for (let i = 1; i < symbols.length; i++) offer(i - 1, i);
  for (let pair = take(heap); pair; pair = take(heap)) {
    const [a, b] = [symbols[pair.left] as Symbol, symbols[pair.right] as Symbol];
    if (a.start === a.end || b.start === b.end || a.end - a.start + b.end - b.start !== pair.size) continue;
    a.end = b.end;
    a.next = b.next;
    const after = symbols[b.next];
    if (after) after.previous = pair.left;
    b.start = b.end;
    offer(a.previous, pair.left);
    offer(pair.left, a.next);
  }
  const segments: Segment[] = [];
  /** A piece that is not used is taken apart where it was joined. */
  const add = (start: number, end: number): void => {
    const piece = pieceOf(start, end);
    const joint = piece?.kind === 'unused' ? joints.get(key(start, end)) : undefined;
    if (joint === undefined) {
      segments.push({ id: piece?.id ?? unknownId, start, end });
      return;
    }
    add(start, start + joint);
    add(start + joint, end);
  };
  for (let i = symbols.length > 0 ? 0 : -1; i !== -1; i = (symbols[i] as Symbol).next)
    add((symbols[i] as Symbol).start, (symbols[i] as Symbol).end);
  return segments;
}
