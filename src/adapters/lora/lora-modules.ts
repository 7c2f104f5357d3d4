/**
 * The layers of a network that a LoRA can change, by all their names in the layouts: CompVis's and that of diffusers or
 * transformers. A layer may be one of several that the canonical tensor stacks (q, k, v in `in_proj` and `qkv`).
 */

import type { NetworkConfig } from '../../config/network-config.ts';
import { clipTextMap } from '../../checkpoints/layouts/clip-text.ts';
import { openAiTextRows } from '../../checkpoints/layouts/openai-clip.ts';
import { unetMap } from '../../checkpoints/layouts/unet.ts';
import { type NameRow, prefixed } from '../../checkpoints/rename.ts';
import { underscored } from './lora-keys.ts';

/** The rows of a canonical tensor that form a layer: all of them, or blocks of equal height. */
export interface StackPlace {
  readonly part: number;
  readonly parts: number;
  readonly groups: number;
}

export interface LoraTarget extends StackPlace {
  /** Canonical name of the tensor. */
  readonly tensor: string;
  /** The matrix is transposed there. */
  readonly transposed: boolean;
}

/** Weight and bias of a layer. */
export interface LoraLayer {
  readonly weight: LoraTarget;
  readonly bias?: LoraTarget;
}

const weightSuffix = /(?:\.weight|_weight|^weight)$/;
const biasSuffix = /(?:\.bias|_bias)$/;

function rowsOf(config: NetworkConfig): readonly NameRow[] {
  switch (config.kind) {
    case 'unet':
      return unetMap(config).rows;
    case 'clip_text':
      return [...clipTextMap(config).rows, ...clipTextMap(config, '').rows];
    case 'clip_text_embedder':
      return prefixed(openAiTextRows(config.model), 'model.', '');
    default:
      return [];
  }
}

/** Layers by `underscored` module name. Empty for networks that have no LoRA layout. */
export function loraLayers(config: NetworkConfig): ReadonlyMap<string, LoraLayer> {
  const weights = new Map<string, LoraTarget>();
  const biases = new Map<string, LoraTarget>();
  const note = (name: string, tensor: string, place: StackPlace, transposed: boolean): void => {
    const target = { tensor, transposed, ...place };
    if (weightSuffix.test(name)) weights.set(underscored(name.replace(weightSuffix, '')), target);
    else if (biasSuffix.test(name)) biases.set(underscored(name.replace(biasSuffix, '')), target);
  };
  for (const { a, b, groups = 1, transposed = false } of rowsOf(config)) {
    const parts = typeof b === 'string' ? [b] : b;
    for (const [part, name] of parts.entries()) note(name, a, { part, parts: parts.length, groups }, transposed);
    note(a, a, { part: 0, parts: 1, groups: 1 }, false);
  }
  return new Map(
    [...weights].map(([name, weight]) => {
      const bias = biases.get(name);
      return [name, bias ? { weight, bias } : { weight }];
    }),
  );
}
