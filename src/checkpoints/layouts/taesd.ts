/**
 * The original TAESD (a: two files, `taesd_encoder` and `taesd_decoder`, whose layers are numbered) ⇄ diffusers `AutoencoderTiny` (b).
 *
 * The original decoder begins with a Clamp, which has no parameters: its numbers are one higher. b is the canonical layout, because it
 * names both halves in one file.
 */

import type { TaesdConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow } from '../rename.ts';

/** Names of the convolutions with parameters, by layer number of diffusers, in order. */
function encoderLayers(config: Pick<TaesdConfig, 'num_encoder_blocks'>): string[][] {
  const layers = config.num_encoder_blocks.flatMap((blocks, level) => [
    level === 0 ? convolution : strided,
    ...Array<LayerName>(blocks).fill(residual),
  ]);
  return [...layers, convolution].map((names, index) => names(index));
}

function decoderLayers(config: Pick<TaesdConfig, 'num_decoder_blocks'>): string[][] {
  const last = config.num_decoder_blocks.length - 1;
  const levels = config.num_decoder_blocks.flatMap((blocks, level) => [
    ...Array<LayerName>(blocks).fill(residual),
    ...(level === last ? [convolution] : [nothing, strided]),
  ]);
  return [convolution, nothing, ...levels].map((names, index) => names(index));
}

type LayerName = (index: number) => string[];
const convolution: LayerName = (index) => [`${index}.weight`, `${index}.bias`];
const strided: LayerName = (index) => [`${index}.weight`];
const residual: LayerName = (index) =>
  ['conv.0', 'conv.2', 'conv.4'].flatMap((name) => layer(`${index}.${name}`, '').map((row) => row.a));
/** An activation or an upsampling. */
const nothing: LayerName = () => [];

/** Map of the encoder's file. */
export function taesdEncoderMap(config: Pick<TaesdConfig, 'num_encoder_blocks'>): NameMap {
  const rows: NameRow[] = encoderLayers(config)
    .flat()
    .map((name) => ({ a: name, b: `encoder.layers.${name}` }));
  return { a: 'taesd', b: 'diffusers', rows };
}

/** Map of the decoder's file. */
export function taesdDecoderMap(config: Pick<TaesdConfig, 'num_decoder_blocks'>): NameMap {
  const rows: NameRow[] = decoderLayers(config).flatMap((names, index) =>
    names.map((name) => ({ a: `${index + 1}${name.slice(String(index).length)}`, b: `decoder.layers.${name}` })),
  );
  return { a: 'taesd', b: 'diffusers', rows };
}
