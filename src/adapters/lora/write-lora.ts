/**
 * Writing LoRAs: factors of a network's layers, by canonical names, as the files that other programs load.
 *
 * - `kohya`: sd-scripts, A1111, ComfyUI (`lora_unet_….lora_down.weight`, `.alpha`, metadata `ss_*`). For SDXL the UNet's layers have their
 *   names in a single file there, and the text encoders `lora_te1_…` and `lora_te2_…`.
 * - `diffusers`: `load_lora_weights` (`unet.….lora.down.weight`, `text_encoder.….lora_linear_layer.down.weight`). It has no alpha; the
 *   factor alpha / rank is multiplied into `up`.
 */

import type { ClipTextConfig, UNetConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { convert } from '../../tensor/convert.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { clipTextMap } from '../../checkpoints/layouts/clip-text.ts';
import { unetMap } from '../../checkpoints/layouts/unet.ts';
import type { NameRow } from '../../checkpoints/rename.ts';
import { writeSafetensors } from '../../formats/safetensors-write.ts';
import { type LoraNetwork, underscored } from './lora-keys.ts';

/** The factors of one layer: its weight becomes W + alpha / rank · up · down. */
export interface LoraFactors {
  readonly network: LoraNetwork;
  /** Canonical name of the weight in its network: `middle_block.1.proj_in.weight`. */
  readonly tensor: string;
  /** [rank, in] of a linear layer, [rank, in, kh, kw] of a convolution. */
  readonly down: Tensor<'float32'>;
  /** [out, rank], or [out, rank, 1, 1]. */
  readonly up: Tensor<'float32'>;
  readonly alpha: number;
}

export type LoraLayout = 'kohya' | 'diffusers';

export interface WriteLoraOptions {
  readonly layout: LoraLayout;
  readonly unet: UNetConfig;
  /** Needed where the text encoder has factors. */
  readonly text?: ClipTextConfig;
  /** The second text encoder, of SDXL. */
  readonly text2?: ClipTextConfig | undefined;
  /** Default float32. */
  readonly dtype?: 'float32' | 'float16' | 'bfloat16';
  /** Added to what the layout has of itself: a title, the training's settings (`ss_learning_rate`, …). */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Names in diffusers and transformers of the layers that are one tensor there, by canonical tensor. */
function moduleNames(rows: readonly NameRow[]): ReadonlyMap<string, string> {
  return new Map(rows.flatMap(({ a, b }) => (typeof b === 'string' ? [[a, b.replace(/\.weight$/, '')] as const] : [])));
}

const kohyaPrefixes: Readonly<Record<LoraNetwork, string>> = {
  unet: 'lora_unet',
  text: 'lora_te',
  text_2: 'lora_te2',
};

/** A layer's key in kohya's layout. */
function kohyaKey(network: LoraNetwork, tensor: string, module: string | undefined, isXl: boolean): string {
  // CompVis's own name, which A1111 and this library read, where diffusers has no such layer.
  const name = (isXl && network === 'unet' ? undefined : module) ?? tensor.replace(/\.weight$/, '');
  return `${isXl && network === 'text' ? 'lora_te1' : kohyaPrefixes[network]}_${underscored(name)}`;
}

const diffusersKeys: Readonly<Record<LoraNetwork, (module: string) => string>> = {
  unet: (module) => `unet.${module}.lora`,
  text: (module) => `text_encoder.${module}.lora_linear_layer`,
  text_2: (module) => `text_encoder_2.${module}.lora_linear_layer`,
};

/** The tensors of a file, by name. Throws `invalid-argument` for a layer that the layout cannot name. */
export function loraTensors(factors: readonly LoraFactors[], options: WriteLoraOptions): Map<string, Tensor> {
  const { layout, unet, text, text2, dtype = 'float32' } = options;
  const names: Readonly<Record<LoraNetwork, ReadonlyMap<string, string>>> = {
    unet: moduleNames(unetMap(unet).rows),
    text: moduleNames(text ? clipTextMap(text).rows : []),
    text_2: moduleNames(text2 ? clipTextMap(text2).rows : []),
  };
  const tensors = new Map<string, Tensor>();
  for (const { network, tensor, down, up, alpha } of factors) {
    const module = names[network].get(tensor);
    const rank = down.shape[0] ?? 1;
    if (layout === 'kohya') {
      const key = kohyaKey(network, tensor, module, text2 !== undefined);
      tensors.set(`${key}.lora_down.weight`, convert(down, dtype));
      tensors.set(`${key}.lora_up.weight`, convert(up, dtype));
      tensors.set(`${key}.alpha`, convert(float32([], [alpha]), dtype));
      continue;
    }
    if (module === undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `diffusers has no layer for ${tensor}; write the LoRA in the layout kohya.`,
      );
    const scaled =
      alpha === rank
        ? up
        : float32(
            up.shape,
            up.data.map((value) => (value * alpha) / rank),
          );
    const key = diffusersKeys[network](module);
    tensors.set(`${key}.down.weight`, convert(down, dtype));
    tensors.set(`${key}.up.weight`, convert(scaled, dtype));
  }
  return tensors;
}

/** The network metadata that sd-scripts writes into `__metadata__`: `ss_network_dim` and `ss_network_alpha` apply to linear layers, `conv_*` to 3x3 convolutions. */
export function loraMetadata(
  factors: readonly LoraFactors[],
  { layout, text2, metadata = {} }: Pick<WriteLoraOptions, 'layout' | 'text2' | 'metadata'>,
): Record<string, string> {
  if (layout !== 'kohya') return { format: 'pt', ...metadata };
  const isConvolution = ({ down }: LoraFactors): boolean => (down.shape[2] ?? 1) > 1;
  const linear = factors.find((factor) => !isConvolution(factor));
  const convolution = factors.find(isConvolution);
  const rankOf = (factor: LoraFactors | undefined): string => String(factor?.down.shape[0] ?? 0);
  return {
    ss_network_module: 'networks.lora',
    ss_network_dim: rankOf(linear ?? convolution),
    ss_network_alpha: String((linear ?? convolution)?.alpha ?? 0),
    ...(convolution
      ? { ss_network_args: JSON.stringify({ conv_dim: rankOf(convolution), conv_alpha: String(convolution.alpha) }) }
      : {}),
    ...(text2 ? { ss_base_model_version: 'sdxl_base_v1-0' } : {}),
    ...metadata,
  };
}

/** The bytes of a `.safetensors` file, in chunks, for `writeFileAtomic`. */
export function writeLora(
  factors: readonly LoraFactors[],
  options: WriteLoraOptions & { readonly signal?: AbortSignal },
): AsyncGenerator<Uint8Array, void, void> {
  const tensors = loraTensors(factors, options);
  const entries = Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
  return writeSafetensors(entries, ({ name }) => tensors.get(name) as Tensor, {
    metadata: loraMetadata(factors, options),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
