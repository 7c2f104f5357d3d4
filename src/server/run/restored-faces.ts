/** The faces of a job's picture restored, where the job asks for it. */

import type { Image } from '../../image/image.ts';
import { restoreFaces } from '../../upscaling/faces/restore-faces.ts';
import { defaultFaceRestorer } from '../models/face-networks.ts';
import type { ChunkContext, Picture } from './work.ts';

/** The picture, with its faces restored if its job restores faces. Throws `not-found`, and as `restoreFaces`. */
export async function withRestoredFaces(
  { work: { job } }: Picture,
  image: Image<3>,
  { context, signal }: ChunkContext,
): Promise<Image<3>> {
  const settings = job.request.restoreFaces;
  if (!settings) return image;
  const made = await context.controls.withFaceRestorer(
    settings.model ?? defaultFaceRestorer,
    { owner: job.owner, signal },
    (restorer) => restoreFaces(image, restorer, { weight: settings.weight, signal }),
  );
  return made.image;
}
