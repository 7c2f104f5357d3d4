/** The layers that a LoRA trains, in groups with their usual names. */

import { StableDiffusionError } from '../../errors.ts';
import type { Shape } from '../../tensor/tensor.ts';
import type { LoraPath } from './lora-graph.ts';

/** Canonical names of a network's weights, by what they do. */
const groups = {
  /** to_q, to_k, to_v, to_out of every attention: the usual choice, PEFT's in diffusers' scripts. */
  attention: /\.attn[12]\.to_(?:q|k|v|out\.0)\.weight$|\.self_attn\.(?:q|k|v|out)_proj\.weight$/,
  /** The layers between attentions. */
  'feed-forward': /\.ff\.net\.(?:0\.proj|2)\.weight$|\.mlp\.(?:fc1|fc2)\.weight$/,
  /** The 1x1 convolutions around transformers. With the two above, what kohya's networks.lora trains. */
  projections: /\.proj_(?:in|out)\.weight$/,
  /** 3x3 convolutions of residual blocks and resampling, skip connections, in and out (LoCon). */
  convolutions:
    /\.(?:in_layers\.2|out_layers\.3|skip_connection|op|conv)\.weight$|^(?:input_blocks\.0\.0|out\.2)\.weight$/,
  /** Linear layers of the timestep's embedding. */
  'time-embedding': /^time_embed\.[02]\.weight$|\.emb_layers\.1\.weight$/,
} as const satisfies Record<string, RegExp>;

export type LoraTargetGroup = keyof typeof groups;
export const loraTargetGroups = Object.keys(groups) as readonly LoraTargetGroup[];

export interface LoraSettings {
  /** Default 4. */
  readonly rank?: number;
  /** The path is scaled by alpha / rank. Default: the rank. */
  readonly alpha?: number;
  /** Rank and alpha of 3x3 convolutions. Default: as of the others. */
  readonly convolutionRank?: number;
  readonly convolutionAlpha?: number;
  /** Groups, or a test of canonical names. Default ['attention']. */
  readonly targets?: readonly LoraTargetGroup[] | ((name: string) => boolean);
}

/** The paths for a network whose parameters have these canonical names after `prefix`. Throws `invalid-argument` if there is none. */
export function loraPaths(
  parameters: Iterable<{ readonly name: string; readonly shape: Shape }>,
  prefix: string,
  settings: LoraSettings,
): LoraPath[] {
  const {
    rank = 4,
    alpha = rank,
    convolutionRank = rank,
    convolutionAlpha = convolutionRank === rank ? alpha : convolutionRank,
    targets = ['attention'],
  } = settings;
  for (const [what, value] of [
    ['rank', rank],
    ['convolution rank', convolutionRank],
  ] as const) {
    if (!Number.isInteger(value) || value < 1)
      throw new StableDiffusionError(
        'invalid-argument',
        `The ${what} of a LoRA is ${value}; it must be a whole number from 1.`,
      );
  }
  const chosen =
    typeof targets === 'function' ? targets : (name: string) => targets.some((group) => groups[group].test(name));
  const paths: LoraPath[] = [];
  for (const { name, shape } of parameters) {
    if ((shape.length !== 2 && shape.length !== 4) || !chosen(name)) continue;
    const convolution = (shape[2] ?? 1) > 1;
    paths.push({
      weight: prefix + name,
      rank: convolution ? convolutionRank : rank,
      alpha: convolution ? convolutionAlpha : alpha,
    });
  }
  if (paths.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `The network has no layers of the kinds ${typeof targets === 'function' ? 'chosen' : targets.join(', ')}.`,
    );
  return paths;
}
