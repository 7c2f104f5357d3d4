/** The parts that outpainting will paint, known from the header of the initial picture: limits are checked before any work. */

import { inspectImageFile } from '../image/codec/image-file.ts';
import { outpaintSizes } from '../pipelines/outpainting/geometry.ts';
import type { CheckpointFacts } from '../model/checkpoint-facts.ts';
import type { ServerContext } from './context.ts';
import { invalidField } from './http/problem.ts';
import type { JobRequest } from './job.ts';

/** Most parts of one picture. */
const mostParts = 1024;

/** Throws `invalid-argument` at the field, for a job without a picture and for results beyond the limit. */
export async function outpaintParts(
  { store, limits }: Pick<ServerContext, 'store' | 'limits'>,
  { outpaint, image, task }: Pick<JobRequest, 'outpaint' | 'image' | 'task'>,
  size: { readonly width: number; readonly height: number },
  { unit }: CheckpointFacts,
  where: readonly string[],
): Promise<Pick<JobRequest, 'parts'>> {
  if (!outpaint) return {};
  const bytes = image === undefined ? undefined : await store.get(image);
  if (task !== 'img2img' || !bytes) throw invalidField(where, 'outpainting extends the image of an img2img job');
  const { width, height } = inspectImageFile(bytes);
  const { parts, result } = outpaintSizes({ picture: { width, height }, part: size, unit }, outpaint);
  if (result.width * result.height > limits.pixels)
    throw invalidField(
      where,
      `the picture would have ${result.width} x ${result.height} pixels; ensure that it has at most ${limits.pixels}`,
    );
  if (parts.length > mostParts)
    throw invalidField(
      where,
      `it would be painted in ${parts.length} parts; ensure that there are at most ${mostParts}`,
    );
  return { parts: [...parts] };
}
