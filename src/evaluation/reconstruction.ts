/** Reconstruction quality of an autoencoder: PSNR, SSIM and LPIPS of reconstructions from the mean of the posterior. */

import { throwIfAborted } from '../errors.ts';
import type { Image } from '../image/image.ts';
import { imagesToTensor, tensorToImages } from '../image/image-tensor.ts';
import type { Autoencoder } from '../model/autoencoder.ts';
import { lpips } from './perceptual-distance.ts';
import type { PerceptualNetwork } from './perceptual-network.ts';
import { psnr } from './psnr.ts';
import { ssim } from './ssim.ts';

export interface ReconstructionMeasures {
  readonly pictures: number;
  /** Means over the pictures. PSNR in decibels. */
  readonly psnr: number;
  readonly ssim: number;
  /** Only if an LPIPS network was given. */
  readonly lpips?: number;
}

export interface Reconstructed {
  readonly image: Image;
  readonly psnr: number;
  readonly ssim: number;
  readonly lpips?: number;
}

/** A few RGB pictures of one size that the autoencoder takes, given back and measured. The convention of SSIM is torchmetrics'. */
export async function reconstruct(
  autoencoder: Autoencoder,
  images: readonly Image[],
  options: { readonly perceptual?: PerceptualNetwork; readonly signal?: AbortSignal } = {},
): Promise<readonly Reconstructed[]> {
  const { perceptual, signal } = options;
  throwIfAborted(signal);
  const given = imagesToTensor(images);
  const decoded = await autoencoder.decode(autoencoder.posterior(await autoencoder.encode(given)).mean);
  const distances = perceptual && (await lpips(given, decoded, perceptual.features, perceptual.linear));
  return tensorToImages(decoded, 'diffusers').map((image, i) => {
    const original = images[i] as Image;
    return {
      image,
      psnr: psnr(original, image),
      ssim: ssim(original, image, { convention: 'torchmetrics' }),
      ...(distances ? { lpips: distances[i] as number } : {}),
    };
  });
}

/** Means of what `reconstruct` gave of all pictures. */
export function reconstructionMeasures(pictures: readonly Omit<Reconstructed, 'image'>[]): ReconstructionMeasures {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const distances = pictures.flatMap((picture) => (picture.lpips === undefined ? [] : [picture.lpips]));
  return {
    pictures: pictures.length,
    psnr: mean(pictures.map((picture) => picture.psnr)),
    ssim: mean(pictures.map((picture) => picture.ssim)),
    ...(distances.length > 0 ? { lpips: mean(distances) } : {}),
  };
}
