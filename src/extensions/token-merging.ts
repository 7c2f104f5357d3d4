/**
 * Token merging (Bolya & Hoffman 2023, "Token Merging for Fast Stable Diffusion", arXiv 2303.17604; tomesd): of the tokens of a large image the
 * most alike are merged before attention and parted again after it. Graphs have a fixed size, because the number of tokens does.
 */

import { StableDiffusionError } from '../errors.ts';
import { multiplyDims } from '../graph/dim.ts';
import {
  add,
  argmax,
  cast,
  concat,
  constant,
  div,
  equal,
  expand,
  gather,
  less,
  matmul,
  max,
  mul,
  range,
  reshape,
  scatterAdd,
  slice,
  sqrt,
  sub,
  sum,
  transpose,
  where,
} from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { Extension } from './extension.ts';

/** Token numbers: those that others merge into, and the others. */
export interface TokenFields {
  readonly destinations: readonly number[];
  readonly sources: readonly number[];
}

/** One destination in every whole field of `fieldWidth` x `fieldHeight` tokens: at its upper left, or where `choice` says (row by row in the field). */
export function tokenFields(
  height: number,
  width: number,
  fieldWidth: number,
  fieldHeight: number,
  choice?: ArrayLike<number | bigint>,
): TokenFields {
  const [rows, columns] = [Math.floor(height / fieldHeight), Math.floor(width / fieldWidth)];
  const destinations = Array.from({ length: rows * columns }, (_, i) => {
    const inside = Number(choice?.[i] ?? 0);
    const y = Math.floor(i / columns) * fieldHeight + Math.floor(inside / fieldWidth);
    return y * width + (i % columns) * fieldWidth + (inside % fieldWidth);
  });
  const chosen = new Set(destinations);
  return { destinations, sources: Array.from({ length: height * width }, (_, i) => i).filter((i) => !chosen.has(i)) };
}

/** All token numbers in an order that the graph is given, int64 [n]: first the `count` that others merge into. */
export interface TokenOrder {
  readonly order: Sym;
  readonly count: number;
}

export interface TokenMatch {
  /** [b, n, c] → [b, n - merged, c]: tokens that stay alone, by falling likeness, then destinations with the mean of all that merged into them. */
  readonly merge: (tokens: Sym) => Sym;
  /** Back to [b, n, c]. */
  readonly unmerge: (merged: Sym) => Sym;
}

const ids = (like: Sym, values: readonly number[]): Sym =>
  constant(like, { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) } as Tensor);

/** Tokens of the numbers `which`, int64 [m], from [b, n, c]. */
function pickTokens(x: Sym, which: Sym): Sym {
  return transpose(gather(transpose(x, [1, 0, 2]), which), [1, 0, 2]);
}

/** The two kinds of tokens as values of the graph, and where each token lies among destinations and then sources: int64. */
interface Places {
  readonly destinations: Sym;
  readonly sources: Sym;
  readonly back: Sym;
}

function placesOf(like: Sym, fields: TokenFields | TokenOrder): Places {
  if ('destinations' in fields) {
    const { destinations, sources } = fields;
    const back = new Array<number>(sources.length + destinations.length).fill(0);
    for (const [i, token] of [...destinations, ...sources].entries()) back[token] = i;
    return { destinations: ids(like, destinations), sources: ids(like, sources), back: ids(like, back) };
  }
  const { order, count } = fields;
  const length = fixedSize(order, 0);
  const positions = reshape(cast(range(like, length), 'float32'), [length, 1]);
  return {
    destinations: slice(order, 0, 0, count),
    sources: slice(order, 0, count, length),
    back: cast(reshape(scatterAdd(order, positions, length), [length]), 'int64'),
  };
}

/** Sources are compared with each other in pieces of so many, to bound the memory. */
const pieceLength = 1024;

/** For each of [b, s] values how many are larger, or equal and earlier: its rank from the largest. */
function ranks(values: Sym): Sym {
  const [b = 1] = values.shape;
  const count = fixedSize(values, 1);
  const row = reshape(values, [b, 1, count]);
  const pieces: Sym[] = [];
  for (let start = 0; start < count; start += pieceLength) {
    const length = Math.min(pieceLength, count - start);
    const own = reshape(slice(values, 1, start, start + length), [b, length, 1]);
    const earlier = new Float32Array(length * count);
    for (let i = 0; i < length; i++) earlier.fill(1, i * count, i * count + start + i);
    const ties = mul(cast(equal(row, own), 'float32'), constant(values, float32([1, length, count], earlier)));
    pieces.push(sum(add(cast(less(own, row), 'float32'), ties), [2]));
  }
  return concat(pieces, 1);
}

/** Rows of tokens [b, n, c] by numbers [b, m] (float32, whole): [b, m, c]. */
function takeTokens(tokens: Sym, numbers: Sym): Sym {
  const [b = 1] = tokens.shape;
  const [count, width] = [fixedSize(tokens, 1), fixedSize(tokens, 2)];
  const offsets = mul(cast(range(tokens, b), 'float32'), count);
  const flat = cast(add(numbers, reshape(offsets, [b, 1])), 'int64');
  return gather(reshape(tokens, [multiplyDims(b, count), width]), flat);
}

/** Sums of rows [b, s, c] at the numbers [b, s] below `count`: [b, count, c]. */
function sumInto(rows: Sym, numbers: Sym, count: number): Sym {
  const [b = 1] = rows.shape;
  const [length, width] = [fixedSize(rows, 1), fixedSize(rows, 2)];
  const offsets = mul(cast(range(rows, b), 'float32'), count);
  const flat = cast(add(numbers, reshape(offsets, [b, 1])), 'int64');
  const total = multiplyDims(b, length);
  const sums = scatterAdd(reshape(flat, [total]), reshape(rows, [total, width]), multiplyDims(b, count));
  return reshape(sums, [b, count, width]);
}

/** Matches the `merged` sources that are most like a destination, by the cosine of [b, n, c] (`bipartite_soft_matching_random2d`). */
export function matchTokens(metric: Sym, fields: TokenFields | TokenOrder, merged: number): TokenMatch {
  const [b = 1] = metric.shape;
  const { destinations, sources, back } = placesOf(metric, fields);
  const [s, d] = [fixedSize(sources, 0), fixedSize(destinations, 0)];
  const alone = s - merged;
  const unit = div(metric, sqrt(sum(mul(metric, metric), [2], { keepDims: true })));
  const scores = matmul(pickTokens(unit, sources), pickTokens(unit, destinations), { transposeB: true });
  const rank = ranks(max(scores, [2]));
  const target = cast(argmax(scores, 2), 'float32');
  const isMerged = less(rank, merged);
  const numbers = constant(
    metric,
    float32(
      [1, s, 1],
      Float32Array.from({ length: s }, (_, i) => i),
    ),
  );
  const byRank = reshape(sumInto(expand(numbers, [b, s, 1]), rank, s), [b, s]);
  const share = reshape(cast(isMerged, 'float32'), [b, s, 1]);
  const counts = add(sumInto(share, target, d), 1);
  return {
    merge(tokens) {
      const own = pickTokens(tokens, sources);
      const sums = add(pickTokens(tokens, destinations), sumInto(mul(own, share), target, d));
      const means = div(sums, counts);
      return alone === 0 ? means : concat([takeTokens(own, slice(byRank, 1, merged, s)), means], 1);
    },
    unmerge(value) {
      const place = where(isMerged, add(target, alone), sub(rank, merged));
      const from = takeTokens(value, place);
      return pickTokens(concat([slice(value, 1, alone, alone + d), from], 1), back);
    },
  };
}

export interface TokenMerging {
  /** Share of the tokens that merge, 0 to 0.75 with fields of 2 x 2. */
  readonly ratio: number;
  /** Levels where tokens merge: those whose image is at most this many times smaller than the latent. Default 1: only the largest. */
  readonly maxDownsample?: 1 | 2 | 4 | 8;
  /** Sides of the fields. Default 2. */
  readonly fieldWidth?: number;
  readonly fieldHeight?: number;
  /** Merge for cross-attention and feed-forward too. Default false. */
  readonly crossAttention?: boolean;
  readonly feedForward?: boolean;
}

/** For graphs of a fixed size. Throws `invalid-argument` for a ratio outside 0 to 1. */
export function tokenMerging(options: TokenMerging): Extension {
  const {
    ratio,
    maxDownsample = 1,
    fieldWidth = 2,
    fieldHeight = 2,
    crossAttention = false,
    feedForward = false,
  } = options;
  if (!(ratio >= 0 && ratio <= 1))
    throw new StableDiffusionError(
      'invalid-argument',
      `The share of tokens to merge is ${ratio}; it must be a number from 0 to 1.`,
    );
  const kinds = new Set(['self', ...(crossAttention ? ['cross'] : []), ...(feedForward ? ['feed-forward'] : [])]);
  const name = ['token-merging', ratio, maxDownsample, fieldWidth, fieldHeight, ...kinds].join(' ');
  return {
    name,
    needsSize: true,
    inputs: () => ({}),
    hooks() {
      let last: { readonly block: Sym; readonly match: TokenMatch | undefined } | undefined;
      const matchOf = (block: Sym, image: Sym): TokenMatch | undefined => {
        const [height, width] = [fixedSize(image, 2), fixedSize(image, 3)];
        const fields = tokenFields(height, width, fieldWidth, fieldHeight);
        const merged = Math.min(fields.sources.length, Math.trunc(height * width * ratio));
        return merged <= 0 || fields.destinations.length === 0 ? undefined : matchTokens(block, fields, merged);
      };
      return {
        tokens(normed, run, { kind, block, image, level }) {
          if (2 ** level > maxDownsample || !kinds.has(kind)) return run(normed);
          if (last?.block !== block) last = { block, match: matchOf(block, image) };
          const { match } = last;
          return match ? match.unmerge(run(match.merge(normed))) : run(normed);
        },
      };
    },
  };
}
