/**
 * A folder of split files as ComfyUI lays them out: the UNet in `diffusion_models/` or `unet/`, the text encoders in `text_encoders/` or `clip/`,
 * the autoencoder in `vae/`.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StableDiffusionError } from '../errors.ts';
import { isHiddenName } from '../files/hidden-name.ts';

export interface SplitFiles {
  readonly unet: string;
  readonly textEncoders: readonly string[];
  readonly vae: string;
}

/** The first name is the one that is written. */
export const splitFolders = {
  unet: ['diffusion_models', 'unet'],
  text: ['text_encoders', 'clip'],
  vae: ['vae'],
} as const;

const weights = /\.(safetensors|ckpt|pt|pth|bin|gguf)$/i;

async function filesIn(path: string, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const entries = await readdir(join(path, name)).catch(() => []);
    found.push(
      ...entries
        .filter((entry) => !isHiddenName(entry) && weights.test(entry))
        .sort()
        .map((entry) => join(path, name, entry)),
    );
  }
  return found;
}

/** Undefined for a folder without a UNet's files. Throws `invalid-argument` where a part has more files than one model has. */
export async function splitFilesIn(path: string): Promise<SplitFiles | undefined> {
  const [unets, textEncoders, vaes] = [
    await filesIn(path, splitFolders.unet),
    await filesIn(path, splitFolders.text),
    await filesIn(path, splitFolders.vae),
  ];
  const [[unet], [vae]] = [unets, vaes];
  if (unet === undefined || vae === undefined || textEncoders.length === 0) return undefined;
  if (unets.length > 1 || vaes.length > 1 || textEncoders.length > 2)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} holds the files of several models (${unets.length} UNets, ${textEncoders.length} text encoders, ${vaes.length} autoencoders). Name them: --model UNET --text-encoder FILE --vae FILE.`,
    );
  return { unet, textEncoders, vae };
}
