/** TencentARC's `Adapter` and `Adapter_light` (a) ⇄ diffusers `T2IAdapter` (b, behind `adapter.`). */

import type { T2IAdapterConfig } from '../../config/network-config.ts';
import { layer, type NameMap, type NameRow } from '../rename.ts';

export function t2iAdapterMap({ adapter_type, channels, num_res_blocks: count }: T2IAdapterConfig): NameMap {
  const isLight = adapter_type === 'light';
  const rows: NameRow[] = isLight ? [] : layer('conv_in', 'conv_in');
  for (const level of channels.keys()) {
    for (let i = 0; i < count; i++) {
      const own = isLight ? `body.${level}.body.${i}` : `body.${level * count + i}`;
      for (const name of ['block1', 'block2'])
        rows.push(...layer(`${own}.${name}`, `body.${level}.resnets.${i}.${name}`));
    }
    if (isLight)
      for (const name of ['in_conv', 'out_conv']) rows.push(...layer(`body.${level}.${name}`, `body.${level}.${name}`));
    else if (level > 0) rows.push(...layer(`body.${level * count}.in_conv`, `body.${level}.in_conv`));
  }
  return { a: 'tencentarc', b: 'diffusers', rows };
}
