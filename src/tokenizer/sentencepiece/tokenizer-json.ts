/**
 * A SentencePiece model from Hugging Face's `tokenizer.json` (https://github.com/huggingface/tokenizers), as T5's conversion writes it: the pieces
 * of a unigram or byte-pair model, with the spaces as `▁`. Special tokens that are written in a text are text, as with `spiece.model`.
 */

import * as z from 'zod';
import { StableDiffusionError } from '../../errors.ts';
import type { NormalizerSettings, Piece, SentencePieceModel } from './model-file.ts';

const part = z.looseObject({ type: z.string() });
type Part = z.output<typeof part>;

const unigramSchema = z.looseObject({
  type: z.literal('Unigram'),
  unk_id: z.int().nonnegative(),
  byte_fallback: z.boolean().default(false),
  vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
});

const bpeSchema = z.looseObject({
  type: z.literal('BPE'),
  unk_token: z.string(),
  byte_fallback: z.boolean().default(false),
  vocab: z.record(z.string(), z.int().nonnegative()),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
});

const fileSchema = z.looseObject({
  added_tokens: z
    .array(z.looseObject({ id: z.int().nonnegative(), content: z.string(), special: z.boolean() }))
    .default([]),
  normalizer: part.nullable().default(null),
  pre_tokenizer: part.nullable().default(null),
  model: z.union([unigramSchema, bpeSchema]),
});

const mostPieces = 1 << 22;

function refused(label: string, what: string): StableDiffusionError {
  return new StableDiffusionError(
    'config-invalid',
    `${label}: ${what} is not supported; tokenizers that were made from a SentencePiece model are.`,
  );
}

/** Sequences within sequences. */
const mostDepth = 16;

/** A part, or the parts of a sequence. */
function flat(given: Part | null, label: string, depth = 0): readonly Part[] {
  if (!given) return [];
  const inner = given['normalizers'] ?? given['pretokenizers'];
  if (given.type !== 'Sequence' || !Array.isArray(inner)) return [given];
  if (depth >= mostDepth) throw refused(label, `a Sequence within more than ${mostDepth} others`);
  return inner.flatMap((one: unknown) => {
    const parsed = part.safeParse(one);
    if (!parsed.success) throw refused(label, 'a part of a Sequence without a type');
    return flat(parsed.data, label, depth + 1);
  });
}

function bytesOfBase64(text: unknown, label: string): Uint8Array {
  try {
    return Uint8Array.from(atob(String(text ?? '')), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new StableDiffusionError('file-corrupt', `${label}: precompiled_charsmap is not base64.`, { cause });
  }
}

/** The pattern of a `Replace`. */
function patternOf({ pattern }: Part): unknown {
  const given = z.looseObject({ String: z.string().optional(), Regex: z.string().optional() }).safeParse(pattern);
  return given.data?.String ?? given.data?.Regex;
}

/** How texts are normalised, from what the file does before it looks up pieces. */
function normalizerOf(parts: readonly Part[], label: string): NormalizerSettings {
  let settings: NormalizerSettings = {
    charsmap: new Uint8Array(),
    addDummyPrefix: false,
    removeExtraWhitespaces: false,
    escapeWhitespaces: true,
    whitespaceAsSuffix: false,
  };
  for (const one of parts) {
    const pattern = patternOf(one);
    if (one.type === 'Precompiled')
      settings = { ...settings, charsmap: bytesOfBase64(one['precompiled_charsmap'], label) };
    else if (one.type === 'Metaspace') {
      if ((one['replacement'] ?? '\u2581') !== '\u2581')
        throw refused(label, `the replacement ${JSON.stringify(one['replacement'])}`);
      settings = {
        ...settings,
        addDummyPrefix: one['prepend_scheme'] !== 'never' && one['add_prefix_space'] !== false,
      };
    } else if (one.type === 'Prepend' && one['prepend'] === '\u2581') settings = { ...settings, addDummyPrefix: true };
    else if (one.type === 'WhitespaceSplit' || (one.type === 'Replace' && pattern === ' {2,}'))
      settings = { ...settings, removeExtraWhitespaces: true };
    else if (one.type === 'Strip' || (one.type === 'Replace' && pattern === ' ' && one['content'] === '\u2581'))
      continue;
    else throw refused(label, `the ${one.type} of its ${one.type === 'Replace' ? 'normalizer' : 'text processing'}`);
  }
  return settings;
}

/** The pieces of a byte-pair model: the earlier a merge makes a piece, the higher its score. */
function bpePieces({ vocab, merges, unk_token }: z.output<typeof bpeSchema>, label: string): Map<number, Piece> {
  const scores = new Map<string, number>();
  for (const [rank, merge] of merges.entries()) {
    const made = (typeof merge === 'string' ? merge.split(' ') : merge).join('');
    if (!scores.has(made)) scores.set(made, -rank);
  }
  if (vocab[unk_token] === undefined)
    throw new StableDiffusionError('file-corrupt', `${label}: the vocabulary lacks ${unk_token}.`);
  return new Map(
    Object.entries(vocab).map(([text, id]) => [
      id,
      { text, score: scores.get(text) ?? 0, kind: text === unk_token ? ('unknown' as const) : ('normal' as const) },
    ]),
  );
}

const byteName = /^<0x[0-9A-F]{2}>$/;

/** Throws `file-corrupt` for a file that is none, `config-invalid` for a tokenizer of another kind. */
export function readTokenizerJson(text: string, label = 'tokenizer.json'): SentencePieceModel {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new StableDiffusionError('file-corrupt', `${label} is not JSON.`, { cause });
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw refused(label, `its form (${issue?.path.join('.') || 'the whole'}: ${issue?.message})`);
  }
  const { model, normalizer, pre_tokenizer, added_tokens } = parsed.data;
  const byId: Map<number, Piece> =
    model.type === 'BPE'
      ? bpePieces(model, label)
      : new Map(
          model.vocab.map(([piece, score], id) => [
            id,
            { text: piece, score: Math.fround(score), kind: id === model.unk_id ? 'unknown' : 'normal' },
          ]),
        );
  for (const { id, content, special } of added_tokens) {
    const kind = byId.get(id)?.kind === 'unknown' ? 'unknown' : special ? 'control' : 'user-defined';
    byId.set(id, { text: content, score: byId.get(id)?.score ?? 0, kind });
  }
  const count = Math.max(...byId.keys()) + 1;
  if (count > mostPieces)
    throw new StableDiffusionError('too-large', `${label} has ${count} pieces, more than ${mostPieces}.`);
  const pieces = Array.from({ length: count }, (_, id): Piece => {
    const piece = byId.get(id) ?? { text: '', score: 0, kind: 'control' };
    return model.byte_fallback && byteName.test(piece.text) ? { ...piece, kind: 'byte' } : piece;
  });
  const idOf = (name: string): number => pieces.findIndex((piece) => piece.text === name && piece.kind === 'control');
  return {
    algorithm: model.type === 'BPE' ? 'bpe' : 'unigram',
    pieces,
    unknownId: pieces.findIndex(({ kind }) => kind === 'unknown'),
    startId: idOf('<s>'),
    endId: idOf('</s>'),
    padId: idOf('<pad>'),
    byteFallback: model.byte_fallback,
    normalizer: normalizerOf([...flat(normalizer, label), ...flat(pre_tokenizer, label)], label),
  };
}
