/** Adds a T2I-Adapter's features to the UNet after each level (Mou et al. 2023, arXiv 2302.08453). */

import { dim } from '../graph/dim.ts';
import { add } from '../graph/functions.ts';
import type { Sym } from '../graph/trace.ts';
import type { Extension } from './extension.ts';

/** Inputs `adapter.0` …: float32 [batch, channels, h, w] of each level. */
export const adapter: Extension = {
  name: 'adapter',
  inputs: (config, sides) =>
    Object.fromEntries(
      config.channel_mult.map((mult, level) => [
        `adapter.${level}`,
        { dtype: 'float32', shape: [dim('batch'), mult * config.model_channels, ...sides(level)] },
      ]),
    ),
  hooks: (_, given) => ({ afterLevel: (h, level) => add(h, given[`adapter.${level}`] as Sym) }),
};
