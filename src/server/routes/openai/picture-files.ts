/** Pictures of edits and variations: files of a form, or base64 in JSON. */

import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { type Caller, readPicture, storePicture } from '../../http/picture-input.ts';

type File = Uint8Array | string;

export interface StoredPictures {
  readonly image: string;
  readonly mask?: string;
  readonly width: number;
  readonly height: number;
}

/** The mask of a picture's transparent part, in white. Undefined if the picture is opaque. */
async function maskOf(
  { pictures, store }: ServerContext,
  bytes: Uint8Array,
  caller: Caller,
): Promise<string | undefined> {
  const mask = await pictures.run('transparency', { bytes }, caller);
  return mask && store.put(mask);
}

/** Checks and stores the first picture and the mask, which is the given one's transparency or else the picture's own. */
export async function storePictures(
  context: ServerContext,
  images: File | readonly File[],
  given: File | null | undefined,
  caller: Caller,
): Promise<StoredPictures> {
  const bytesOf = async (file: File): Promise<Uint8Array> =>
    typeof file === 'string' ? readPicture(context, file, caller.signal) : file;
  const first = images instanceof Uint8Array || typeof images === 'string' ? images : images[0];
  if (first === undefined) throw invalidField(['body', 'image'], 'Give a picture.');
  return atField(['body', 'image'], async () => {
    const bytes = await bytesOf(first);
    const { id: image, width, height } = await storePicture(context, bytes, caller);
    const mask = given
      ? await atField(['body', 'mask'], async () => {
          const found = await maskOf(context, await bytesOf(given), caller);
          if (!found)
            throw invalidField(
              ['body', 'mask'],
              'The mask has no transparent part. Its transparent part is the area to regenerate.',
            );
          return found;
        })
      : await maskOf(context, bytes, caller);
    return { image, width, height, ...(mask ? { mask } : {}) };
  });
}
