/** The condition of LDM's first text-to-image models: an encoder over BERT's wordpieces (`BERTEmbedder`). */

import type { BertEmbedderConfig } from '../config/network-config.ts';
import { bertEmbedder } from '../models/bert-embedder.ts';
import { need } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ConditionerKind } from './conditioner.ts';
import { textConditioner } from './text.ts';

export const bert: ConditionerKind<BertEmbedderConfig> = {
  takes: 'texts',
  async tokenizers(config, { vocabulary }, part) {
    if (vocabulary === undefined) return new Map();
    const { createBertTokenizer } = await import('../tokenizer/bert-tokenizer.ts');
    return new Map([[part, createBertTokenizer({ vocab: vocabulary, length: config.max_seq_len })]]);
  },
  trace: (p, config, given) => ({ context: bertEmbedder(p, config, need(given, 'input_ids')) }),
  create: (_, part, context) =>
    textConditioner({
      part,
      context,
      length: context.maxLength,
      perToken: true,
      async encode(tokens, { signal }) {
        const { embeddings } = await context.run(part, ['embeddings'], { tokens }, signal);
        return { context: embeddings as Tensor };
      },
    }),
};
