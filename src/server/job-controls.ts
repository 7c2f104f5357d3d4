/** Controls of a job: the fields of a request's controls, with names of the catalogue and ids of stored pictures in place of opened models and pictures. */

import * as z from 'zod';
import { bounds } from '../generation/bounds.ts';
import { controlShape, imagePromptShape } from '../generation/control-fields.ts';
import { openFields } from '../generation/fields.ts';
import { blobIdSchema } from './store/blob-store.ts';

/** Pictures of one IP-Adapter. */
export const mostReferencePictures = 8;

/** `resolution` and the thresholds are undefined for the preprocessor's own. */
export const jobControlSchema = z.object({
  ...controlShape,
  /** Undefined: the initial picture of the job. */
  picture: blobIdSchema.optional(),
  /** White where an inpainting network is to paint; undefined: the mask of the job. */
  mask: blobIdSchema.optional(),
  /** White where it acts. */
  region: blobIdSchema.optional(),
  /** In a job that paints the masked part alone: its own picture is of the whole. Default true. */
  cropsPicture: z.boolean().optional(),
  /** Its map is among the pictures of the result, as A1111's extension returns it. */
  returnsMap: z.boolean().optional(),
});
export type JobControl = z.output<typeof jobControlSchema>;

export const jobImagePromptSchema = z.object({
  ...imagePromptShape,
  pictures: z.array(blobIdSchema).min(1).max(mostReferencePictures),
  region: blobIdSchema.optional(),
  /** The name by which A1111's client called its preprocessor, for the settings text. */
  module: z.string().max(200).optional(),
});
export type JobImagePrompt = z.output<typeof jobImagePromptSchema>;

const picture = z.string().min(1).describe('base64, a data URL, or the id of a stored picture');
const { model: _, ...openControl } = openFields(controlShape);
const { model: __, ...openPrompt } = openFields(imagePromptShape);

/** As callers of the jobs API send them. */
export const controlBody = z.strictObject({
  model: controlShape.model,
  ...openControl,
  picture: picture.optional(),
  mask: picture.optional(),
  region: picture.optional(),
});
export const imagePromptBody = z.strictObject({
  model: imagePromptShape.model,
  ...openPrompt,
  pictures: z.array(picture).min(1).max(mostReferencePictures),
  region: picture.optional(),
});

/** Fields of a job, and of the body that describes one. */
export const jobControlFields = {
  control: z.array(jobControlSchema).min(1).max(bounds.controls.max).optional(),
  imagePrompts: z.array(jobImagePromptSchema).min(1).max(bounds.controls.max).optional(),
};
