/**
 * A condition made of several embedders (sgm's `GeneralConditioner`): SDXL's two text encoders, and the sizes of the picture. Contexts are
 * joined along their width, vectors one behind the other.
 */

import * as z from 'zod';
import { clipTextConfigSchema } from './network-config.ts';

/** The embedded sizes of a picture: each pair is (height, width) or (top, left), the aesthetic score is one number. */
export const sizeFields = ['original', 'crop', 'target', 'aesthetic'] as const;
export type SizeField = (typeof sizeFields)[number];

/** `ConcatTimestepEmbedderND`: each number through a sinusoidal embedding of `width`. Has no parameters. */
export const sizesConfigSchema = z
  .strictObject({
    kind: z.literal('sizes'),
    fields: z.array(z.enum(sizeFields)).min(1).max(sizeFields.length).readonly(),
    width: z.int().positive().max(65_536).default(256),
  })
  .readonly();
export type SizesConfig = z.output<typeof sizesConfigSchema>;

export const composedConfigSchema = z
  .strictObject({
    kind: z.literal('composed'),
    embedders: z
      .array(z.union([clipTextConfigSchema, sizesConfigSchema]))
      .min(1)
      .max(8)
      .readonly(),
    /** An empty negative prompt is zeros in place of its encoding (`force_uc_zero_embeddings`). */
    zero_empty: z.boolean().default(true),
  })
  .readonly();
export type ComposedConfig = z.output<typeof composedConfigSchema>;
