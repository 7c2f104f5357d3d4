/**
 * Checkpoints of denoising-diffusion-pytorch: what its `Trainer` saves (`model-N.pt`: step, model, opt, ema, scaler, version), the state of
 * one of its diffusion classes, or of a UNet alone.
 */

import { isLucidUNet } from './infer/pixel-unets.ts';
import { withoutPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

export interface LucidFile {
  /** The UNet under its own names. */
  readonly unet: WeightSource;
  /** The buffers of the diffusion class: `betas`, `loss_weight` and others. */
  readonly buffers: WeightSource;
  readonly isAveraged: boolean;
  /** The attribute that holds the UNet: `GaussianDiffusion` and continuous time have `model`, `ElucidatedDiffusion` has `net`. */
  readonly holder: 'model' | 'net' | undefined;
}

/** Where a diffusion class lies in a file: averaged by ema-pytorch, or as it was last. */
const averagedPlaces = ['ema/ema_model.', 'ema_model.'];
const lastPlaces = ['model/', ''];
const holders = ['model', 'net', undefined] as const;

/** What stands before the names of the UNet, averaged ones first. */
export const lucidPrefixes: readonly string[] = [...averagedPlaces, ...lastPlaces].flatMap((place) =>
  holders.map((holder) => (holder === undefined ? place : `${place}${holder}.`)),
);

/** The network of a file, undefined for files of other programs. With `last` the last weights even where there are averaged ones. */
export function openLucidFile(source: WeightSource, options: { readonly last?: boolean } = {}): LucidFile | undefined {
  const places = options.last ? [...lastPlaces, ...averagedPlaces] : [...averagedPlaces, ...lastPlaces];
  for (const place of places)
    for (const holder of holders) {
      const unet = withoutPrefix(source, holder === undefined ? place : `${place}${holder}.`);
      if (isLucidUNet(unet.entries))
        return { unet, buffers: withoutPrefix(source, place), isAveraged: averagedPlaces.includes(place), holder };
    }
  return undefined;
}

/** Whether a file has UNets of imagen-pytorch. */
export const isImagenFile = ({ entries }: WeightSource): boolean =>
  [...entries.keys()].some((name) => /^(model\/)?unets\.\d+\./.test(name));
