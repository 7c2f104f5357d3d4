/** The network for a latent's size: the one for all sizes that are multiples of its unit, else one of this size. */

import type { UNetConfig } from '../../config/network-config.ts';
import { oneSize } from '../../extensions/one-size.ts';
import type { NamedNetwork } from '../../model/network-set.ts';

const sized = new WeakMap<NamedNetwork, Map<string, NamedNetwork>>();

export function sizedNetwork(network: NamedNetwork, height: number, width: number): NamedNetwork {
  const unit = 2 ** ((network.config as UNetConfig).channel_mult.length - 1);
  if (height % unit === 0 && width % unit === 0) return network;
  const made = sized.get(network) ?? new Map<string, NamedNetwork>();
  sized.set(network, made);
  const key = `${height}x${width}`;
  const own = made.get(key) ?? { ...network, extensions: [...(network.extensions ?? []), oneSize(height, width)] };
  made.set(key, own);
  return own;
}
