/** OpenAI's CLIP as a condition: the text's one vector, repeated (`FrozenCLIPTextEmbedder`). */

import type { ClipTextEmbedderConfig } from '../config/network-config.ts';
import { clipTextEmbedder } from '../models/clip-embedders.ts';
import { need } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { lazyClipTokenizer, lazyClipTokenizerFromFiles } from '../tokenizer/lazy-clip-tokenizer.ts';
import type { ConditionerKind } from './conditioner.ts';
import { textConditioner } from './text.ts';

export const clipEmbedder: ConditionerKind<ClipTextEmbedderConfig> = {
  takes: 'texts',
  async tokenizers(config, files, part) {
    const own = files.clip?.[part];
    const tokenizer = own
      ? await lazyClipTokenizerFromFiles(own)
      : await lazyClipTokenizer({ vocabSize: config.model.vocab_size, pad: 'zero' });
    return new Map([[part, tokenizer]]);
  },
  trace: (p, config, given) => ({ context: clipTextEmbedder(p, config, need(given, 'input_ids')) }),
  create: (config, part, context) =>
    textConditioner({
      part,
      context,
      // OpenAI's encoder takes rows of exactly its context.
      length: config.model.context_length,
      perToken: false,
      async encode(tokens, { signal }) {
        const { embeddings } = await context.run(part, ['embeddings'], { tokens }, signal);
        return { context: embeddings as Tensor };
      },
    }),
};
