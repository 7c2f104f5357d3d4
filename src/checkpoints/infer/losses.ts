/** The networks of the autoencoders' losses from names and shapes: LPIPS and the patch discriminator. */

import {
  type DiscriminatorConfig,
  discriminatorConfigSchema,
  type LpipsConfig,
  lpipsConfigSchema,
} from '../../config/network-config.ts';
import { axis, type Entries, type Inferred, inferred, shapeOf } from './shapes.ts';

export function isLpips(entries: Entries): boolean {
  return entries.has('lin0.model.1.weight') && entries.has('net.slice1.0.weight');
}

export function inferLpips(entries: Entries): Inferred<LpipsConfig> {
  const chns = [0, 1, 2, 3, 4].map((level) => axis(entries, `lin${level}.model.1.weight`, 4, 1, 'LPIPS'));
  return { config: inferred(lpipsConfigSchema, { kind: 'lpips', chns }, 'LPIPS'), assumed: [] };
}

export function isDiscriminator(entries: Entries): boolean {
  return (
    entries.has('main.0.weight') &&
    entries.has('main.2.weight') &&
    (entries.has('main.3.running_mean') || entries.has('main.3.loc'))
  );
}

/** A convolution and its activation, then three modules for each layer, then the last convolution. */
export function inferDiscriminator(entries: Entries): Inferred<DiscriminatorConfig> {
  const what = 'patch discriminator';
  const [ndf, from] = shapeOf(entries, 'main.0.weight', 4, what);
  let layers = 0;
  while (entries.has(`main.${3 * layers + 3}.running_mean`) || entries.has(`main.${3 * layers + 3}.loc`)) layers++;
  const config = inferred(
    discriminatorConfigSchema,
    { kind: 'discriminator', input_nc: from, ndf, n_layers: layers, use_actnorm: entries.has('main.3.loc') },
    what,
  );
  return { config, assumed: [] };
}
