/** Text to token ids: CLIP's byte-pair encoding, BERT's word pieces and T5's SentencePiece, with the cleaning of the originals. */

export * from './bert-tokenizer.ts';
export * from './clip-placeholders.ts';
export * from './clip-tokenizer.ts';
export * from './clip-tokenizer-files.ts';
export * from './clean-caption.ts';
export * from './fix-text.ts';
export * from './sentencepiece/tokenizer.ts';
export * from './sentencepiece/tokenizer-json.ts';
