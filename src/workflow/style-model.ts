/** STYLE_MODEL: the style adapter of T2I-Adapter, and the tokens that it makes of seen pictures. After ComfyUI's `StyleModelApply` (nodes.py). */

import type { DetectedNetwork } from '../checkpoints/detect.ts';
import type { T2IStyleConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { NamedNetwork } from '../model/network-set.ts';
import { concatenate, scale } from '../tensor/arithmetic.ts';
import { repeatBatch } from '../tensor/batches.ts';
import { expectDType, type Tensor } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import type { Float32 } from './grids.ts';
import type { SeenPictures } from './image-encoder.ts';
import type { ConditioningValue } from './values/conditioning.ts';

export interface StyleModelValue {
  readonly holdsNetworks: true;
  readonly label: string;
  readonly network: NamedNetwork & { readonly config: T2IStyleConfig };
}

/** Throws `model-unknown`. */
export function styleModelOf({ config, source }: DetectedNetwork): StyleModelValue {
  if (config.kind !== 't2i_style')
    throw new StableDiffusionError(
      'model-unknown',
      `${source.label} is not a style model of T2I-Adapter; it is ${config.kind}.`,
    );
  return { holdsNetworks: true, label: source.label, network: { config, weights: source } };
}

/** The tokens of pictures one behind the other, float32 [1, pictures · tokens, width]. Throws `weights-mismatch` for another image encoder's. */
async function styleTokens(
  { label, network }: StyleModelValue,
  { last_hidden_state: seen }: SeenPictures,
  { networks, signal }: NodeContext,
): Promise<Float32> {
  const width = seen.shape[2];
  if (width !== network.config.width)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${label} takes hidden states of width ${network.config.width}; the image encoder gave ${width}. Use CLIP ViT-L/14.`,
    );
  const made = await networks.run(network, { outputs: ['style_tokens'] }, { hidden_states: seen }, signal);
  const tokens = expectDType(made['style_tokens'] as Tensor, 'float32', 'style_tokens');
  const [pictures = 1, count = 1, context = 1] = tokens.shape;
  return { ...tokens, shape: [1, pictures * count, context] };
}

export interface StyleOptions {
  readonly style: StyleModelValue;
  readonly seen: SeenPictures;
  readonly strength: number;
  /** The tokens are multiplied by the strength. Otherwise it is a bias of the attention, which Stable Diffusion's networks do not read. */
  readonly multiplies: boolean;
}

/** Every entry with the pictures' tokens behind its own. */
export async function withStyle(
  conditioning: ConditioningValue,
  { style, seen, strength, multiplies }: StyleOptions,
  context: NodeContext,
): Promise<ConditioningValue> {
  const tokens = await styleTokens(style, seen, context);
  const own = multiplies ? scale(tokens, Math.fround(strength)) : tokens;
  return conditioning.map((entry) => {
    const width = entry.cond.shape[2];
    if (width !== own.shape[2])
      throw new StableDiffusionError(
        'weights-mismatch',
        `${style.label} makes tokens of width ${own.shape[2]}; the conditioning has width ${width}. Use it with Stable Diffusion v1.`,
      );
    return { ...entry, cond: concatenate([entry.cond, repeatBatch(own, entry.cond.shape[0] ?? 1, 'style_tokens')], 1) };
  });
}
