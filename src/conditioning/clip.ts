/** The condition of Stable Diffusion: CLIP's text encoder, a vector for each token (`FrozenCLIPEmbedder`; Radford et al. 2021). */

import type { ClipTextConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { clipText } from '../models/clip-text.ts';
import { need } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { createClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { createClipTokenizerFromFiles } from '../tokenizer/clip-tokenizer-files.ts';
import type { ConditionerKind } from './conditioner.ts';
import { textConditioner } from './text.ts';

/** The output that clip skip means: the state of an earlier layer goes through the final norm. */
function outputOf(config: ClipTextConfig, clipSkip: number): string {
  const layer = config.num_hidden_layers + 1 - clipSkip;
  if (!Number.isInteger(clipSkip) || clipSkip < 1 || layer < 0) {
    throw new StableDiffusionError(
      'invalid-argument',
      `Clip skip is ${clipSkip}; this text encoder of ${config.num_hidden_layers} layers takes 1 to ${config.num_hidden_layers + 1}.`,
    );
  }
  return clipSkip === 1 ? 'last_hidden_state' : `final_norm.${layer}`;
}

export const clip: ConditionerKind<ClipTextConfig> = {
  takes: 'texts',
  tokenizer: (config, files) =>
    files.clip ? createClipTokenizerFromFiles(files.clip) : createClipTokenizer({ vocabSize: config.vocab_size }),
  trace: (p, config, given) => ({ context: clipText(p, config, need(given, 'input_ids')).lastHiddenState }),
  create: (config, part, context) =>
    textConditioner({
      part,
      context,
      length: context.maxLength,
      perToken: true,
      async encode(ids, { clipSkip = 1, signal }) {
        const output = outputOf(config, clipSkip);
        const results = await context.run(part, [output], { input_ids: ids }, signal);
        return { context: results[output] as Tensor };
      },
    }),
};
