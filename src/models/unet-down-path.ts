/** The first half of LDM's UNets (`input_blocks` and `middle_block` of `openaimodel.UNetModel` and `EncoderUNetModel`). */

import type { UNetConfig } from '../config/network-config.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import type { UNetHooks } from '../nn/hooks.ts';
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
  | 'dropout'
> & {
  /** Of residual blocks, where it is not SiLU, and what their output is divided by. */
  readonly blocks?: Pick<ResBlockOptions, 'activation' | 'outputScale'>;
};

/** The attention layer of a block at a level, if the network has one there: [b, c, h, w] → the same shape. */
export type AttentionLayer = (p: Params, x: Sym, level: number) => Sym;

/** Channels of a level. The first level may be narrower than `model_channels`, as in ADM's 512 x 512 models. */
export function levelWidth(config: Pick<DownPathConfig, 'model_channels' | 'channel_mult'>, level: number): number {
  return (config.channel_mult[level] ?? 1) * config.model_channels;
}

/** Residual blocks of one level. */
export function resBlocksAt(config: DownPathConfig, level: number): number {
  const { num_res_blocks: count } = config;
  return typeof count === 'number' ? count : (count[level] ?? 0);
}

export function resBlockOptions(config: DownPathConfig, out: number, { padding }: UNetHooks): ResBlockOptions {
  return {
    out,
    groups: config.norm_num_groups,
    scaleShift: config.use_scale_shift_norm,
    pad: padding,
    dropout: config.dropout,
    ...config.blocks,
  };
}

/** The outputs of `input_blocks`, first to last: what the second half takes as skip connections. x [b, c, h, w], embedding [b, e]. */
export function downPath(
  p: Params,
  config: DownPathConfig,
  x: Sym,
  embedding: Sym,
  attention: AttentionLayer,
  hooks: UNetHooks = {},
): readonly [Sym, ...Sym[]] {
  const { channel_mult, attention_resolutions, conv_resample, resblock_updown } = config;
  const { padding: pad, afterInput, afterLevel, afterSkip, block: around = (_, run) => run() } = hooks;
  const blocks = p.at('input_blocks');
  const first = around('input_blocks.0', () =>
    blocks.at(0).module(() => convLayer(blocks.at('0.0'), x, levelWidth(config, 0), { kernel: 3, pad })),
  );
  let h = afterInput ? afterInput(first) : first;
  const outputs: [Sym, ...Sym[]] = [h];
  const block = (body: (block: Params) => Sym): void => {
    const scope = blocks.at(outputs.length);
    if (afterSkip) h = afterSkip(h, outputs.length - 1);
    h = around(`input_blocks.${outputs.length}`, () => scope.module(() => body(scope)));
    outputs.push(h);
  };
  for (const level of channel_mult.keys()) {
    const options = resBlockOptions(config, levelWidth(config, level), hooks);
    for (let i = 0; i < resBlocksAt(config, level); i++) {
      block((scope) => {
        const residual = resBlock(scope.at(0), h, embedding, options);
        return attention_resolutions.includes(2 ** level) ? attention(scope.at(1), residual, level) : residual;
      });
    }
    if (afterLevel) {
      h = afterLevel(h, level);
      outputs[outputs.length - 1] = h;
    }
    if (level === channel_mult.length - 1) continue;
    block((scope) =>
      resblock_updown
        ? resBlock(scope.at(0), h, embedding, { ...options, resample: 'down' })
        : unetDownsample(scope.at(0), h, conv_resample, pad),
    );
  }
  return outputs;
}

/** `middle_block`: residual block, attention, residual block at the lowest resolution. */
export function middleBlock(
  p: Params,
  config: DownPathConfig,
  x: Sym,
  embedding: Sym,
  attention: AttentionLayer,
  hooks: UNetHooks = {},
): Sym {
  const level = config.channel_mult.length - 1;
  const options = resBlockOptions(config, levelWidth(config, level), hooks);
  const { block: around = (_, run) => run(), middle } = hooks;
  const scope = p.at('middle_block');
  const h = around('middle_block', () =>
    scope.module(() => {
      const inner = resBlock(scope.at(0), x, embedding, options);
      return resBlock(scope.at(2), attention(scope.at(1), inner, level), embedding, options);
    }),
  );
  return middle ? middle(h) : h;
}
