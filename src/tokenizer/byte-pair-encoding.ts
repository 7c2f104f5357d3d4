/**
 * Byte-pair encoding of one word: starting from its bytes, the adjacent pair whose merge has the lowest rank is merged, leftmost first, until
 * no adjacent pair has a merge (Sennrich et al. 2016; `bpe` of clip/simple_tokenizer.py).
 *
 * A heap of the mergeable pairs makes it O(n log n) in the length of the word.
 */

export interface BytePairMerges {
  /** Symbol of each byte, 256 entries. */
  readonly bytes: ArrayLike<number>;
  /** Symbol of each byte where it ends a word, 256 entries. */
  readonly lastBytes: ArrayLike<number>;
  /** Rank of the merge of two symbols, by `pairKey`. */
  readonly ranks: ReadonlyMap<number, number>;
  /** The symbol that a merge makes, by rank. */
  readonly merged: ArrayLike<number>;
}

const MAX_SYMBOLS = 2 ** 24;
const MAX_LENGTH = 2 ** 31;

/** Symbols are below 2^24. */
export function pairKey(left: number, right: number): number {
  return left * MAX_SYMBOLS + right;
}

/** The symbols of a word given as UTF-8; at least one byte. */
export function encodeWord(word: Uint8Array, merges: BytePairMerges): number[] {
  const count = word.length;
  const symbols = new Int32Array(count);
  for (let i = 0; i < count; i++) symbols[i] = (i === count - 1 ? merges.lastBytes : merges.bytes)[word[i] ?? 0] ?? 0;
  // A list of the symbols that are left: neighbours by position; merged ones are -1.
  const next = Int32Array.from({ length: count }, (_, i) => i + 1);
  const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
  const symbolAt = (i: number) => symbols[i] ?? -1;
  const rankAt = (i: number) => {
    const right = next[i] ?? count;
    return right < count ? merges.ranks.get(pairKey(symbolAt(i), symbolAt(right))) : undefined;
  };

  const heap: number[] = [];
  const offer = (i: number) => {
    const rank = rankAt(i);
    if (rank !== undefined) pushHeap(heap, rank * MAX_LENGTH + i);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);

  for (let best = popHeap(heap); best !== undefined; best = popHeap(heap)) {
    const rank = Math.floor(best / MAX_LENGTH);
    const left = best % MAX_LENGTH;
    // Entries of pairs that an earlier merge changed are stale.
    if (symbolAt(left) < 0 || rankAt(left) !== rank) continue;
    const right = next[left] ?? count;
    const after = next[right] ?? count;
    symbols[left] = merges.merged[rank] ?? 0;
    symbols[right] = -1;
    next[left] = after;
    if (after < count) previous[after] = left;
    const before = previous[left] ?? -1;
    if (before >= 0) offer(before);
    offer(left);
  }

  const result: number[] = [];
  for (let i = 0; i < count; i = next[i] ?? count) result.push(symbolAt(i));
  return result;
}

function pushHeap(heap: number[], key: number): void {
  let child = heap.length;
  heap.push(key);
  while (child > 0) {
    const parent = (child - 1) >> 1;
    const above = heap[parent] ?? 0;
    if (above <= key) break;
    heap[child] = above;
    child = parent;
  }
  heap[child] = key;
}

function popHeap(heap: number[]): number | undefined {
  const smallest = heap[0];
  const last = heap.pop();
  if (smallest === undefined || last === undefined || heap.length === 0) return smallest;
  let parent = 0;
  for (;;) {
    let child = 2 * parent + 1;
    if (child >= heap.length) break;
    if ((heap[child + 1] ?? Number.POSITIVE_INFINITY) < (heap[child] ?? 0)) child++;
    const below = heap[child] ?? 0;
    if (below >= last) break;
    heap[parent] = below;
    parent = child;
  }
  heap[parent] = last;
  return smallest;
}
