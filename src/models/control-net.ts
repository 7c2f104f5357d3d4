/**
 * ControlNet: a copy of a UNet's first half that sees a hint picture, whose outputs are added to the UNet's skip connections and middle
 * (Zhang et al. 2023, arXiv 2302.05543; `cldm.cldm.ControlNet`). `extensions/control.ts` adds them.
 */

import type { ControlNetConfig } from '../config/network-config.ts';
import { dim, multiplyDims } from '../graph/dim.ts';
import { add, silu } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';
import { givenUNetInputs, unetEncoder, type UNetInputs, unetInputs } from './unet.ts';

/** The hint in pixels, [b, 3, 8 h, 8 w] in [0, 1] → [b, model_channels, h, w]: convolutions, every second one halving the image from the third on. */
function hintBlock(p: Params, { unet, hint_widths }: ControlNetConfig, hint: Sym): Sym {
  const widths = [...hint_widths, unet.model_channels];
  return p.module(() =>
    widths.reduce((h, width, i) => {
      const stride = i > 0 && i < widths.length - 1 && i % 2 === 0 ? 2 : 1;
      const made = convLayer(p.at(2 * i), h, width, { kernel: 3, stride });
      return i === widths.length - 1 ? made : silu(made);
    }, hint),
  );
}

export interface ControlOutputs {
  /** For each skip connection, in the order of `input_blocks`. */
  readonly skips: readonly Sym[];
  readonly middle: Sym;
  /** The hint as it is added to the input convolution's output. */
  readonly hint: Sym;
}

export function controlNet(
  p: Params,
  config: ControlNetConfig,
  { hint: picture, ...inputs }: UNetInputs & { readonly hint: Sym },
): ControlOutputs {
  const hint = hintBlock(p.at('input_hint_block'), config, picture);
  const { skips, middle } = unetEncoder(p, config.unet, inputs, { afterInput: (h) => add(h, hint) });
  const zeroConv = (name: string, h: Sym): Sym => convLayer(p.at(name), h, fixedSize(h, 1), { kernel: 1 });
  return {
    skips: skips.map((h, i) => zeroConv(`zero_convs.${i}.0`, h)),
    middle: zeroConv('middle_block_out.0', middle),
    hint,
  };
}

/** The UNet's inputs and hint [batch, hint_channels, 8 height, 8 width] → control.0 …, control.middle, hint_features. */
export function traceControlNet(config: ControlNetConfig, options?: NetworkTraceOptions): Graph {
  const size = options?.size;
  const own = unetInputs(config.unet, size);
  const perLatent = 2 ** ((config.hint_widths.length - 1) / 2);
  const unit = 2 ** (config.unet.channel_mult.length - 1) * perLatent;
  const sides = size
    ? size.map((side) => side * perLatent)
    : [multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))];
  return traceNetwork(
    { ...own, hint: { dtype: 'float32', shape: [dim('batch'), config.hint_channels, ...sides] } },
    (p, given) => {
      const { skips, middle, hint } = controlNet(p, config, { ...givenUNetInputs(given), hint: need(given, 'hint') });
      const outputs: Record<string, Sym> = { 'control.middle': middle, hint_features: hint };
      for (const [i, skip] of skips.entries()) outputs[`control.${i}`] = skip;
      return outputs;
    },
    options,
  );
}
