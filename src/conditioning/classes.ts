/** Classes as a condition: embedded as one context token (`ClassEmbedder`), or as labels that the UNet embeds itself (`num_classes`). */

import type { ClassEmbedderConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { classEmbedder } from '../models/class-embedder.ts';
import { need } from '../models/trace-network.ts';
import { int64, type Tensor } from '../tensor/tensor.ts';
import type { Conditioner, ConditionerContext, ConditionerKind, Given } from './conditioner.ts';

/** The labels of a batch. Throws `invalid-argument`. */
function labels({ classes }: Given, count: number, label: string): Tensor<'int64'> {
  if (!classes || classes.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} makes pictures of classes, and none was given. Give a number from 0 to ${count - 1}.`,
    );
  const wrong = classes.find((value) => !Number.isInteger(value) || value < 0 || value >= count);
  if (wrong !== undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `The class is ${wrong}; ${label} has the classes 0 to ${count - 1}.`,
    );
  return int64([classes.length], classes);
}

/**
 * The classes of ImageNet. A model with so many rows was trained without an empty class (latent-diffusion's `cin256`); with one row more,
 * the last is the empty class (`cin256-v2`).
 */
const imageNetClasses = 1000;

export const classes: ConditionerKind<ClassEmbedderConfig> = {
  takes: 'classes',
  classes: ({ n_classes }) => n_classes,
  trace: (p, config, given) => ({ context: classEmbedder(p, config, need(given, 'class')) }),
  create: ({ n_classes }, part, { label, run }) => ({
    takes: 'classes',
    empty: n_classes === imageNetClasses ? undefined : { classes: [n_classes - 1] },
    async encode(given, { signal } = {}) {
      const { out } = await run(part, ['out'], { class: labels(given, n_classes, label) }, signal);
      return { context: out as Tensor };
    },
    join: () => ({}),
  }),
};

/** Labels for a UNet that embeds them itself. */
export const labelKind: ConditionerKind<{ readonly num_classes: number }> = {
  takes: 'classes',
  classes: ({ num_classes }) => num_classes,
  trace: (_, __, given) => ({ y: need(given, 'class') }),
  create: ({ num_classes }, _: string, { label }: ConditionerContext): Conditioner => ({
    takes: 'classes',
    empty: undefined,
    encode: async (given) => ({ y: labels(given, num_classes, label) }),
    join: () => ({}),
  }),
};
