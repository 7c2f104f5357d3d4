/** Extra settings that make a run faster, or guide it further. */

import { type ExtraGroup, factor, slider } from './extra-field.ts';

export const speedAndGuidance: readonly ExtraGroup[] = [
  {
    name: 'tokenMerging',
    section: 'more',
    fields: [
      {
        path: 'tokenMerging',
        label: 'Token merging',
        hint: 'Faster at large sizes, less exact.',
        control: slider(0, 0.9, 0.05),
        initial: 0,
        infotext: 'Token merging ratio',
        a1111: ['override_settings.token_merging_ratio'],
      },
    ],
  },
  {
    name: 'deepCache',
    section: 'more',
    fields: [
      {
        path: 'deepCache.interval',
        label: 'DeepCache',
        hint: 'Whole steps come every so many; 1: all are whole.',
        control: slider(1, 10, 1),
        initial: 1,
      },
    ],
  },
  {
    name: 'freeU',
    section: 'more',
    toggle: 'FreeU',
    fields: [
      factor('freeU.b1', 'Backbone 1', 1.5),
      factor('freeU.b2', 'Backbone 2', 1.6),
      factor('freeU.s1', 'Skip 1', 0.9),
      factor('freeU.s2', 'Skip 2', 0.2),
    ],
  },
  {
    name: 'selfAttentionGuidance',
    section: 'more',
    fields: [
      {
        path: 'selfAttentionGuidance',
        label: 'Self-attention guidance',
        hint: 'Usually 0.75. One more pass a step.',
        control: slider(0, 2, 0.05),
        initial: 0,
      },
    ],
  },
  {
    name: 'perturbedAttention',
    section: 'more',
    fields: [
      {
        path: 'perturbedAttention.scale',
        label: 'Perturbed-attention guidance',
        hint: 'Usually 3. One more pass a step.',
        control: slider(0, 10, 0.5),
        initial: 0,
      },
    ],
  },
];
