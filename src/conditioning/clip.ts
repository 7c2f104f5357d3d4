/** The condition of Stable Diffusion: CLIP's text encoder, a vector for each token (`FrozenCLIPEmbedder`; Radford et al. 2021). */

import type { ClipTextConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { clipText } from '../models/clip-text.ts';
import { need } from '../models/trace-network.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { lazyClipTokenizer, lazyClipTokenizerFromFiles } from '../tokenizer/lazy-clip-tokenizer.ts';
import type { ConditionerKind } from './conditioner.ts';
import { textConditioner } from './text.ts';

/** The state that clip skip means, an earlier one than the usual: its layer from 0 (the embeddings), and its name among the outputs. */
export function clipLayer(
  config: ClipTextConfig,
  clipSkip: number,
): { readonly layer: number; readonly isNormed: boolean; readonly output: string } {
  const usual = config.num_hidden_layers - config.layers_skipped;
  const layer = usual + 1 - clipSkip;
  if (!Number.isInteger(clipSkip) || clipSkip < 1 || layer < 0) {
    throw new StableDiffusionError(
      'invalid-argument',
      `Clip skip is ${clipSkip}; this text encoder of ${config.num_hidden_layers} layers takes 1 to ${usual + 1}.`,
    );
  }
  const isNormed = config.output_norm;
  if (!isNormed) return { layer, isNormed, output: `hidden_states.${layer}` };
  return { layer, isNormed, output: layer === config.num_hidden_layers ? 'last_hidden_state' : `final_norm.${layer}` };
}

export const clip: ConditionerKind<ClipTextConfig> = {
  takes: 'texts',
  async tokenizers(config, files, part) {
    const own = files.clip?.[part];
    // OpenCLIP's encoders were trained with 0 as padding, CLIP's with the end token.
    const pad = config.pad_token_id === 0 ? 'zero' : 'end';
    return new Map([
      [
        part,
        own ? await lazyClipTokenizerFromFiles(own) : await lazyClipTokenizer({ vocabSize: config.vocab_size, pad }),
      ],
    ]);
  },
  trace(p, config, given) {
    const { hiddenStates, finalNorms } = clipText(p, config, need(given, 'input_ids'));
    const states = config.output_norm ? finalNorms : hiddenStates;
    return { context: states[config.num_hidden_layers - config.layers_skipped] ?? states[0] };
  },
  create: (config, part, context) =>
    textConditioner({
      part,
      context,
      length: context.maxLength,
      perToken: true,
      async encode(ids, { clipSkip = 1, signal }) {
        const { output } = clipLayer(config, clipSkip);
        const outputs = config.pooled_output ? [output, 'text_embeds'] : [output];
        const { [output]: tokens, text_embeds: pooled } = await context.run(part, outputs, { input_ids: ids }, signal);
        return { context: tokens as Tensor, ...(pooled && { y: pooled }) };
      },
    }),
};
