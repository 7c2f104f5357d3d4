/** GLIGEN's gated self-attentions in a UNet's blocks: CompVis's names of the blocks (a) ⇄ diffusers' (b). Their own names are the same. */

import type { UNetConfig } from '../../config/network-config.ts';
import type { NameMap } from '../rename.ts';
import { unetMap } from './unet.ts';

const layers = [
  'linear.weight',
  'linear.bias',
  'attn.to_q.weight',
  'attn.to_k.weight',
  'attn.to_v.weight',
  'attn.to_out.0.weight',
  'attn.to_out.0.bias',
  'ff.net.0.proj.weight',
  'ff.net.0.proj.bias',
  'ff.net.2.weight',
  'ff.net.2.bias',
  'norm1.weight',
  'norm1.bias',
  'norm2.weight',
  'norm2.bias',
  'alpha_attn',
  'alpha_dense',
];
const block = /^(.*\.transformer_blocks\.\d+)\.attn2\.to_k\.weight$/;

export function gligenMap(unet: UNetConfig): NameMap {
  const rows = unetMap(unet).rows.flatMap(({ a, b }) => {
    const [from, to] = [block.exec(a)?.[1], block.exec(String(b))?.[1]];
    if (from === undefined || to === undefined) return [];
    return layers.map((name) => ({ a: `${from}.fuser.${name}`, b: `${to}.fuser.${name}` }));
  });
  return { a: 'compvis', b: 'diffusers', rows };
}
