/** No condition from the caller: unconditional models, and those whose condition is a picture that the pipeline concatenates. */

import { StableDiffusionError } from '../errors.ts';
import type { Conditioner, ConditionerKind } from './conditioner.ts';

const nothing: Conditioner = { takes: 'nothing', empty: undefined, encode: async () => ({}), join: () => ({}) };

export const none: ConditionerKind<unknown> = { takes: 'nothing', trace: () => ({}), create: () => nothing };

/** A stage of DeepFloyd IF that was saved without its text encoder: the text is encoded by the stage before. */
export const absentText: ConditionerKind<unknown> = {
  takes: 'texts',
  create: (_, __, { label }) => ({
    takes: 'texts',
    empty: { texts: [''] },
    async encode() {
      throw new StableDiffusionError(
        'invalid-argument',
        `${label} was saved without its text encoder. Make the picture with the first stage and --enlarge, or put text_encoder/ and tokenizer/ into the folder.`,
      );
    },
    join: () => ({}),
  }),
};

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
