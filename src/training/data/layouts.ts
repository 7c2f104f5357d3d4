/** The boxes of a picture in a data set: `boxes` of its metadata, as in a request, and `boxClasses`. */

import * as z from 'zod';
import type { Layout } from '../../conditioning/conditioner.ts';
import { StableDiffusionError } from '../../errors.ts';
import { bounds } from '../../generation/bounds.ts';
import { boxesSchema } from '../../generation/prompt-fields.ts';
import type { TrainingItem } from './sample.ts';

const schema = z.object({ boxes: boxesSchema, boxClasses: z.int().positive().max(bounds.classLabel.max).optional() });

/** Throws `invalid-argument`, naming the item. */
export function layoutOf({ metadata, name }: TrainingItem): Layout {
  const found = schema.safeParse(metadata);
  if (found.success) return { objects: found.data.boxes, objectClasses: found.data.boxClasses };
  const [issue] = found.error.issues;
  throw new StableDiffusionError(
    'invalid-argument',
    `${name} has no usable boxes in its metadata: ${issue?.path.join('.')} must be ${issue?.message}.`,
  );
}
