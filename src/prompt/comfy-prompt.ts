/**
 * Prompts in ComfyUI's syntax (comfy/sd1_clip.py): weights, embeddings, and sequences of 77 tokens.
 *
 * `(x)` is 1.1 times the weight around it, `(x:1.3)` replaces the weight around it, `[x]` and BREAK are plain text; `\(` and `\)` are
 * brackets of the text. `embedding:NAME` behind a space or a line break, or at the start of a piece, names an embedding.
 */

/** A piece of a prompt with its weight. */
export type ComfyPiece = readonly [text: string, weight: number];

/** Stand-ins for escaped brackets while the text is parsed. */
const closing = '\u0000\u0001';
const opening = '\u0000\u0002';

/** Brackets inside brackets; more are an accident, or an attack. */
const deepest = 200;

/** The texts between and inside the outermost brackets, those with their brackets. */
function outermost(text: string): string[] {
  const parts: string[] = [];
  let current = '';
  let depth = 0;
  for (const character of text) {
    if (character === '(') {
      if (depth === 0) {
        if (current) parts.push(current);
        current = '(';
      } else current += character;
      depth += 1;
    } else if (character === ')') {
      depth -= 1;
      current += character;
      if (depth === 0) {
        parts.push(current);
        current = '';
      }
    } else current += character;
  }
  if (current) parts.push(current);
  return parts;
}

/** A number as Python's `float` takes it, or undefined. */
function floatOf(text: string): number | undefined {
  const trimmed = text.trim();
  return /^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$/.test(trimmed) ? Number(trimmed) : undefined;
}

function weighted(text: string, weight: number, depth: number): ComfyPiece[] {
  return outermost(text).flatMap((part): ComfyPiece[] => {
    if (part.length < 2 || !part.startsWith('(') || !part.endsWith(')') || depth >= deepest) return [[part, weight]];
    const inner = part.slice(1, -1);
    const colon = inner.lastIndexOf(':');
    const given = colon > 0 ? floatOf(inner.slice(colon + 1)) : undefined;
    return given === undefined
      ? weighted(inner, weight * 1.1, depth + 1)
      : weighted(inner.slice(0, colon), given, depth + 1);
  });
}

/** The pieces of a prompt with their weights, brackets of the text still escaped (`unescapePiece`). */
export function comfyPieces(text: string): ComfyPiece[] {
  return weighted(text.replaceAll('\\)', closing).replaceAll('\\(', opening), 1, 0);
}

export const unescapePiece = (text: string): string => text.replaceAll(closing, ')').replaceAll(opening, '(');

/** A text to tokenize, or a word that names an embedding with what stands behind it. */
export type ComfyWord =
  | { readonly kind: 'text'; readonly text: string; readonly weight: number }
  | { readonly kind: 'embedding'; readonly name: string; readonly rest: string; readonly weight: number };

const identifier = 'embedding:';

/** The words of a prompt in order. */
export function comfyWords(prompt: string): ComfyWord[] {
  return comfyPieces(prompt).flatMap(([piece, weight]) => {
    const [first = '', ...others] = unescapePiece(piece).split(/ embedding:|\nembedding:/);
    return [first, ...others.map((other) => identifier + other)]
      .filter((word) => word !== '')
      .map((word): ComfyWord => {
        if (!word.startsWith(identifier)) return { kind: 'text', text: word, weight };
        const [name = '', ...rest] = word.slice(identifier.length).trim().split(/\s+/);
        return { kind: 'embedding', name, rest: rest.join(' '), weight };
      });
  });
}

/** Tokens that stay together where they fit into one sequence. A token is an id, or whatever stands for one. */
export interface TokenGroup<T> {
  readonly tokens: readonly T[];
  readonly weight: number;
}

export interface WeightedTokens<T> {
  readonly tokens: readonly T[];
  readonly weights: readonly number[];
}

export interface ComfyChunkOptions<T> {
  readonly start: T;
  readonly end: T;
  readonly pad: T;
  /** Tokens of a sequence. Default 77. */
  readonly length?: number | undefined;
}

/** Groups of as many tokens or more are split where a sequence is full. */
const longWord = 8;

/** The sequences of a prompt, at least one. */
export function comfyChunks<T>(
  groups: readonly TokenGroup<T>[],
  { start, end, pad, length = 77 }: ComfyChunkOptions<T>,
): WeightedTokens<T>[] {
  const chunks: { readonly tokens: T[]; readonly weights: number[] }[] = [];
  const begin = () => {
    const made = { tokens: [start], weights: [1] };
    chunks.push(made);
    return made;
  };
  let chunk = begin();
  const add = (tokens: readonly T[], weight: number): void => {
    chunk.tokens.push(...tokens);
    chunk.weights.push(...tokens.map(() => weight));
  };
  const fill = (): void =>
    add(
      Array.from({ length: length - chunk.tokens.length }, () => pad),
      1,
    );
  for (const { tokens: whole, weight } of groups) {
    let tokens = whole;
    const isLong = tokens.length >= longWord;
    while (tokens.length > 0) {
      const room = length - chunk.tokens.length - 1;
      if (tokens.length <= room) {
        add(tokens, weight);
        break;
      }
      if (isLong) {
        add(tokens.slice(0, room), weight);
        tokens = tokens.slice(room);
      }
      add([end], 1);
      fill();
      chunk = begin();
    }
  }
  add([end], 1);
  fill();
  return chunks;
}
