/** Latents in files, as `--save-latents` writes and `--init-latents` reads them. */

import { StableDiffusionError } from '../errors.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import type { WriteFileOptions } from '../files/write-file-node.ts';
import { writeTensorFile } from './tensor-file.ts';

/** Tensors `latents` (final, scaled as the network uses them) and `start_noise` (standard normal), float32 [images, channels, h, w]. */
export function saveLatents(
  path: string,
  latents: Tensor<'float32'>,
  startNoise: Tensor<'float32'>,
  options: WriteFileOptions,
): Promise<void> {
  return writeTensorFile(
    path,
    new Map([
      ['latents', latents],
      ['start_noise', startNoise],
    ]),
    options,
  );
}

/** The start noise in a file: its tensor `start_noise`, else its only tensor. Throws `invalid-argument` if that is ambiguous. */
export const readStartNoise = (path: string): Promise<Tensor<'float32'>> =>
  readTensor(path, 'start_noise', 'start noise');

/** The final latents in a file: its tensor `latents`, else its only tensor. Throws `invalid-argument` if that is ambiguous. */
export const readLatents = (path: string): Promise<Tensor<'float32'>> => readTensor(path, 'latents', 'a latent');

/** What an image encoder or a recogniser of faces made: its tensor `image_embeds`, else the file's only tensor. */
export const readEmbeddings = (path: string): Promise<Tensor<'float32'>> =>
  readTensor(path, 'image_embeds', 'an embedding', [2, 3]);

async function readTensor(
  path: string,
  wanted: string,
  what: string,
  ranks: readonly number[] = [4],
): Promise<Tensor<'float32'>> {
  const source = await openWeightsAt(path);
  try {
    const names = [...source.entries.keys()];
    const name = names.includes(wanted) ? wanted : names.length === 1 ? names[0] : undefined;
    if (name === undefined)
      throw new StableDiffusionError(
        'invalid-argument',
        `${path} holds ${names.slice(0, 8).join(', ') || 'nothing'}; ${what} is its only tensor, or called ${wanted}.`,
      );
    const noise = toFloat32(await source.read(name));
    if (!ranks.includes(noise.shape.length))
      throw new StableDiffusionError(
        'shape-mismatch',
        `${path}: ${name} has shape [${noise.shape.join(', ')}], and ${ranks.includes(4) ? '[images, channels, height, width]' : '[images, width] or [images, states, width]'} is needed.`,
      );
    return noise;
  } finally {
    await source.close();
  }
}
