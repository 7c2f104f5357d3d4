/** The workflow of a picture: the one that it carries, else one with the settings of our record. */

import { StableDiffusionError } from '../errors.ts';
import { readFileOf } from '../files/open-node.ts';
import { recordSchema } from '../generation/record.ts';
import { readImageMetadata } from '../image/metadata/image-metadata.ts';
import { type WrittenWorkflow, workflowFromRecord } from '../workflow/from-record.ts';

/** Throws `invalid-argument` for a picture without settings that this program reads. */
export async function workflowOfPicture(path: string): Promise<WrittenWorkflow> {
  const { record, texts } = readImageMetadata(await readFileOf('picture', path));
  const own = texts.get('prompt');
  if (own !== undefined && record === undefined) return { text: own, notes: [] };
  const parsed = recordSchema.safeParse(record);
  if (parsed.success) return workflowFromRecord(parsed.data);
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} carries neither a workflow of ComfyUI's nor settings of this program. Pictures of sd txt2img, img2img and inpaint do.`,
  );
}
