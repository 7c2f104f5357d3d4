/** Text to token ids: CLIP's byte-pair encoding and BERT's word pieces, with the cleaning of the originals. */

export * from './bert-tokenizer.ts';
export * from './clip-placeholders.ts';
export * from './clip-tokenizer.ts';
export * from './clip-tokenizer-files.ts';
export * from './fix-text.ts';
