/** The first half of LDM's UNets (`input_blocks` and `middle_block` of `openaimodel.UNetModel` and `EncoderUNetModel`). */

import type { UNetConfig } from '../config/network-config.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { unetDownsample } from '../nn/resample.ts';
import { resBlock, type ResBlockOptions } from '../nn/res-block.ts';

export type DownPathConfig = Pick<
  UNetConfig,
  | 'model_channels'
  | 'num_res_blocks'
  | 'attention_resolutions'
  | 'channel_mult'
  | 'conv_resample'
  | 'use_scale_shift_norm'
  | 'resblock_updown'
  | 'norm_num_groups'
>;

/** The attention layer of a block, if the network has one there: [b, c, h, w] → the same shape. */
export type AttentionLayer = (p: Params, x: Sym) => Sym;

/** Residual blocks of one level. */
export function resBlocksAt(config: DownPathConfig, level: number): number {
  const { num_res_blocks: count } = config;
  return typeof count === 'number' ? count : (count[level] ?? 0);
}

export function resBlockOptions(config: DownPathConfig, out: number): ResBlockOptions {
  return { out, groups: config.norm_num_groups, scaleShift: config.use_scale_shift_norm };
}

/** The outputs of `input_blocks`, first to last: what the second half takes as skip connections. x [b, c, h, w], embedding [b, e]. */
export function downPath(
  p: Params,
  config: DownPathConfig,
  x: Sym,
  embedding: Sym,
  attention: AttentionLayer,
): readonly [Sym, ...Sym[]] {
  const { model_channels, channel_mult, attention_resolutions, conv_resample, resblock_updown } = config;
  const blocks = p.at('input_blocks');
  let h = blocks.at(0).module(() => convLayer(blocks.at('0.0'), x, model_channels, { kernel: 3 }));
  const outputs: [Sym, ...Sym[]] = [h];
  const block = (body: (block: Params) => Sym): void => {
    const scope = blocks.at(outputs.length);
    h = scope.module(() => body(scope));
    outputs.push(h);
  };
  for (const [level, multiplier] of channel_mult.entries()) {
    const channels = multiplier * model_channels;
    for (let i = 0; i < resBlocksAt(config, level); i++) {
      block((scope) => {
        const residual = resBlock(scope.at(0), h, embedding, resBlockOptions(config, channels));
        return attention_resolutions.includes(2 ** level) ? attention(scope.at(1), residual) : residual;
      });
    }
    if (level === channel_mult.length - 1) continue;
    block((scope) =>
      resblock_updown
        ? resBlock(scope.at(0), h, embedding, { ...resBlockOptions(config, channels), resample: 'down' })
        : unetDownsample(scope.at(0), h, conv_resample),
    );
  }
  return outputs;
}

/** `middle_block`: residual block, attention, residual block at the lowest resolution. */
export function middleBlock(p: Params, config: DownPathConfig, x: Sym, embedding: Sym, attention: AttentionLayer): Sym {
  const channels = (config.channel_mult.at(-1) ?? 1) * config.model_channels;
  const scope = p.at('middle_block');
  return scope.module(() => {
    const h = resBlock(scope.at(0), x, embedding, resBlockOptions(config, channels));
    return resBlock(scope.at(2), attention(scope.at(1), h), embedding, resBlockOptions(config, channels));
  });
}
