/** T5's tokenizer and the cleaning of captions in a module of their own: a page loads them only with a model that has T5's text encoder. */

import type { SentencePieceTokenizer } from './sentencepiece/tokenizer.ts';

/** A tokenizer of `spiece.model`, else of `tokenizer.json`; undefined where neither is given. Throws `file-corrupt`, `config-invalid`, `too-large`. */
export async function lazySentencePieceTokenizer(files: {
  readonly model?: Uint8Array | undefined;
  readonly json?: string | undefined;
}): Promise<SentencePieceTokenizer | undefined> {
  const { model, json } = files;
  if (!model && json === undefined) return undefined;
  const { createSentencePieceTokenizer, sentencePieceTokenizer } = await import('./sentencepiece/tokenizer.ts');
  if (model) return createSentencePieceTokenizer(model);
  const { readTokenizerJson } = await import('./sentencepiece/tokenizer-json.ts');
  return sentencePieceTokenizer(readTokenizerJson(json ?? ''));
}

/** `cleanCaption`, loaded when it is first needed. */
export async function lazyCleanCaption(text: string, isCleaned: boolean | undefined): Promise<string> {
  const { cleanCaption } = await import('./clean-caption.ts');
  return cleanCaption(text, isCleaned);
}
