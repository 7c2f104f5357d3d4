/**
 * Pictures that a client sends or fetches by an id (the tooling nodes of Krita AI Diffusion): files in the folder `etn` of the caller's temp
 * folder, so that workers in other processes find them.
 */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { joinBatches } from '../tensor/batches.ts';
import { float32 } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import type { Float32 } from './grids.ts';
import { imageInTurns } from './pictures.ts';

export const cachedPictureFolder = 'etn';

/** Ids are names of files: letters, digits, `-` and `_`. */
export const isPictureId = (id: string): boolean => /^[\w-]{1,128}$/.test(id);

/** How a workflow names the picture's file. */
const nameOf = (id: string): string => {
  if (isPictureId(id)) return `${cachedPictureFolder}/${id} [temp]`;
  throw new StableDiffusionError('invalid-argument', `${JSON.stringify(id.slice(0, 100))} is not an id of a picture.`);
};

/** RGB and one channel in 0…1: alpha where the file has it, else red. */
function pictureAndMask({ width, height, data }: Image<4>, hasAlpha: boolean): readonly [Float32, Float32] {
  const [colors, mask] = [new Float32Array(width * height * 3), new Float32Array(width * height)];
  for (let i = 0; i < mask.length; i++) {
    for (let c = 0; c < 3; c++) colors[3 * i + c] = (data[4 * i + c] as number) / 255;
    mask[i] = (data[4 * i + (hasAlpha ? 3 : 0)] as number) / 255;
  }
  return [float32([1, height, width, 3], colors), float32([1, height, width], mask)];
}

/** IMAGE and MASK of a file's bytes; alpha is not inverted. */
export async function pictureOfBytes(
  bytes: Uint8Array,
  { decodeFrames }: Pick<NodeContext, 'decodeFrames'>,
): Promise<readonly [Float32, Float32]> {
  const { frames, hasAlpha } = await decodeFrames(bytes);
  const all = frames.slice(0, 1).map((frame) => pictureAndMask(frame, hasAlpha));
  return [joinBatches(all.map(([image]) => image)), joinBatches(all.map(([, mask]) => mask))];
}

/** Throws `file-not-found` for an id under which nothing was sent. */
export async function cachedPicture(id: string, context: NodeContext): Promise<readonly [Float32, Float32]> {
  return pictureOfBytes(await context.files.read(nameOf(id)), context);
}

/** A text that differs where the picture does. */
export const cachedDigest = (id: string, { files }: NodeContext): Promise<string> => files.digest(nameOf(id));

/** Keeps the pictures of a batch and tells how clients fetch them. */
export async function cachePictures(images: Float32, format: string, { files, codec }: NodeContext) {
  const kind = format === 'JPEG' ? 'jpeg' : 'png';
  const told = [];
  for (let i = 0; i < (images.shape[0] ?? 0); i++) {
    const id = globalThis.crypto.randomUUID().replaceAll('-', '');
    await files.write(
      'temp',
      cachedPictureFolder,
      id,
      await codec.encode(await imageInTurns(images, i), { format: kind, quality: 95 }),
    );
    told.push({ source: 'http', id, 'content-type': `image/${kind}`, type: 'output' });
  }
  return told;
}
