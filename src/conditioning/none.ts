/** No condition from the caller: unconditional models, and those whose condition is a picture that the pipeline concatenates. */

import { StableDiffusionError } from '../errors.ts';
import type { Conditioner, ConditionerKind } from './conditioner.ts';

const nothing: Conditioner = { takes: 'nothing', empty: undefined, encode: async () => ({}), join: () => ({}) };

export const none: ConditionerKind<unknown> = { takes: 'nothing', trace: () => ({}), create: () => nothing };

/** A condition of pictures that no pipeline encodes. It runs without one and cannot be trained with. */
export const picture: ConditionerKind<{ readonly kind: string }> = {
  takes: 'nothing',
  create: ({ kind }, _, { label }) => ({
    ...nothing,
    async encode({ texts }) {
      if (texts?.some((text) => text !== ''))
        throw new StableDiffusionError('invalid-argument', `${label} takes no prompt: its condition is ${kind}.`);
      return {};
    },
  }),
};
