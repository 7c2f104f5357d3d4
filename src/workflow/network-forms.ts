/** Forms of a network: with an extension, or for one size of the latent. A form that was made once is the same value again, by which the pool knows it. */

import type { UNetConfig } from '../config/network-config.ts';
import type { Extension } from '../extensions/extension.ts';
import type { NamedNetwork } from '../model/network-set.ts';

const forms = new WeakMap<NamedNetwork, Map<string, NamedNetwork>>();

function form<N extends NamedNetwork>(network: N, key: string, change: Partial<NamedNetwork>): N {
  const made = forms.get(network) ?? new Map<string, NamedNetwork>();
  forms.set(network, made);
  const own = made.get(key) ?? { ...network, ...change };
  made.set(key, own);
  return own as N;
}

/** A UNet with an extension; as it was where it has one of that name. */
export function extendedNetwork<N extends NamedNetwork>(network: N, extension: Extension): N {
  const own = network.extensions ?? [];
  if (own.some(({ name }) => name === extension.name)) return network;
  return form(network, extension.name, { extensions: [...own, extension] });
}

/** A UNet or ControlNet for a latent's size: the one for all multiples of its unit, or one of this size where it is none or an extension needs it. */
export function sizedNetwork(network: NamedNetwork, height: number, width: number): NamedNetwork {
  const { config } = network;
  const unet = config.kind === 'controlnet' ? config.unet : (config as UNetConfig);
  const unit = 2 ** (unet.channel_mult.length - 1);
  const isWhole = height % unit === 0 && width % unit === 0;
  if (isWhole && !network.extensions?.some(({ needsSize }) => needsSize)) return network;
  return form(network, `${height}x${width}`, { size: [height, width] });
}
