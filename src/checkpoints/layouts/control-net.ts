/**
 * `cldm.cldm.ControlNet` (a) ⇄ diffusers `ControlNetModel` (b): the first half of a UNet, the hint's convolutions, the zero convolutions.
 * Names of b as in `diffusers.loaders.single_file_utils.convert_controlnet_checkpoint`.
 */

import type { ControlNetConfig } from '../../config/network-config.ts';
import { layer, type NameMap } from '../rename.ts';
import { unetMap } from './unet.ts';

const firstHalf = /^(time_embed|label_emb|input_blocks|middle_block)\./;

export function controlNetMap({ unet, hint_widths }: ControlNetConfig): NameMap {
  const rows = unetMap(unet).rows.filter(({ a }) => firstHalf.test(a));
  const skips = new Set(rows.flatMap(({ a }) => /^input_blocks\.(\d+)\./.exec(a)?.[1] ?? []));
  const hints = ['conv_in', ...hint_widths.slice(1).map((_, i) => `blocks.${i}`), 'conv_out'];
  return {
    a: 'compvis',
    b: 'diffusers',
    rows: [
      ...rows,
      ...hints.flatMap((name, i) => layer(`input_hint_block.${2 * i}`, `controlnet_cond_embedding.${name}`)),
      ...Array.from(skips, (index) => layer(`zero_convs.${index}.0`, `controlnet_down_blocks.${index}`)).flat(),
      ...layer('middle_block_out.0', 'controlnet_mid_block'),
    ],
  };
}
