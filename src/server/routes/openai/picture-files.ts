/** Pictures of edits and variations: files of a form, or base64 in JSON. */

import { nodeImageCodec } from '../../../image/codec/codec-node.ts';
import { alphaOf, createImage } from '../../../image/image.ts';
import type { ServerContext } from '../../context.ts';
import { atField, invalidField } from '../../http/problem.ts';
import { readPicture, storePicture } from '../../http/picture-input.ts';

type File = Uint8Array | string;

export interface StoredPictures {
  readonly image: string;
  readonly mask?: string;
  readonly width: number;
  readonly height: number;
}

/** The mask of a picture's transparent part, in white. Undefined if the picture is opaque. */
async function maskOf(context: ServerContext, bytes: Uint8Array): Promise<string | undefined> {
  const image = await nodeImageCodec.decode(bytes, { maxPixels: context.limits.inputPixels });
  if (image.channels !== 4) return undefined;
  const alpha = alphaOf(image);
  const mask = createImage(
    image.width,
    image.height,
    1,
    alpha.data.map((value) => 255 - value),
  );
  return context.store.put(await nodeImageCodec.encode(mask, { format: 'png' }));
}

/** Checks and stores the first picture and the mask, which is the given one's transparency or else the picture's own. */
export async function storePictures(
  context: ServerContext,
  images: File | readonly File[],
  given: File | null | undefined,
  signal: AbortSignal,
): Promise<StoredPictures> {
  const bytesOf = async (file: File): Promise<Uint8Array> =>
    typeof file === 'string' ? readPicture(context, file, signal) : file;
  const first = images instanceof Uint8Array || typeof images === 'string' ? images : images[0];
  if (first === undefined) throw invalidField(['body', 'image'], 'Give a picture.');
  return atField(['body', 'image'], async () => {
    const bytes = await bytesOf(first);
    const { width, height } = await nodeImageCodec.decode(bytes, { maxPixels: context.limits.inputPixels });
    const image = await storePicture(context, bytes);
    const mask = given
      ? await atField(['body', 'mask'], async () => {
          const found = await maskOf(context, await bytesOf(given));
          if (!found)
            throw invalidField(
              ['body', 'mask'],
              'The mask has no transparent part. Its transparent part is the area to regenerate.',
            );
          return found;
        })
      : await maskOf(context, bytes);
    return { image, width, height, ...(mask ? { mask } : {}) };
  });
}
