/** Flags for what acts inside the network or on its guidance. */

import { seamlessAxes } from '../extensions/seamless.ts';
import { bounds } from '../generation/bounds.ts';
import { choice, integer, number, type Option, UsageError } from './options.ts';
import { at, within } from './request-flag.ts';

/** Four numbers as FreeU's factors. */
function freeUFlag(
  flags: readonly string[],
  description: string,
): Option<Readonly<Record<string, number>> | undefined> {
  return {
    flags,
    value: 'B1,B2,S1,S2',
    description,
    parse: (given) => {
      const [b1, b2, s1, s2, ...more] = given
        .split(',')
        .map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
      const all = { b1, b2, s1, s2 };
      if (more.length > 0 || !Object.values(all).every(Number.isFinite))
        throw new UsageError(`must be four numbers such as 1.5,1.6,0.9,0.2, got ${JSON.stringify(given)}.`);
      return all as Record<string, number>;
    },
  };
}

export const additionFlags = {
  freeU: at(
    'freeU',
    freeUFlag(['--free-u'], 'FreeU: factors on features and skip connections, such as 1.5,1.6,0.9,0.2'),
  ),
  sag: at(
    'selfAttentionGuidance',
    number(
      ['--sag'],
      'self-attention guidance: its scale, such as 0.75 (one more pass a step)',
      within(bounds.guidance),
    ),
  ),
  pag: at(
    'perturbedAttention.scale',
    number(
      ['--pag'],
      'perturbed-attention guidance: its scale, such as 3 (one more pass a step)',
      within(bounds.guidance),
    ),
  ),
  tokenMerging: at(
    'tokenMerging',
    number(
      ['--token-merging'],
      'share of tokens to merge in the largest self-attentions, such as 0.5: faster',
      within(bounds.share),
    ),
  ),
  deepCache: at(
    'deepCache.interval',
    integer(
      ['--deepcache'],
      'DeepCache: run the deep blocks only at every Nth step: faster',
      within(bounds.cacheInterval),
    ),
  ),
  seamless: at(
    'seamless',
    choice(
      ['--seamless'],
      seamlessAxes,
      'pictures that can be laid side by side without a seam, along both axes or one',
    ),
  ),
};
