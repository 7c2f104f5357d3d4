/** Opens a control model from disk, for a loaded model. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readTextIfThere } from '../files/open-node.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type ControlModel, type ControlModelOptions, openControlModel } from './control-model.ts';
import type { DenoisingModel } from './extended-denoiser.ts';

export interface LoadControlOptions extends Omit<ControlModelOptions, 'imageEncoder'> {
  /** File or folder of CLIP's image encoder, for IP-Adapters and style adapters. */
  readonly imageEncoder?: string | undefined;
}

/** Whether a diffusers folder says that its outputs are averaged over the picture. */
async function poolsIn(path: string): Promise<boolean | undefined> {
  if (!(await stat(path).catch(() => undefined))?.isDirectory()) return undefined;
  const text = await readTextIfThere('configuration', join(path, 'config.json'), { within: path });
  if (text === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(text);
    const value =
      typeof json === 'object' && json !== null && 'global_pool_conditions' in json
        ? json.global_pool_conditions
        : undefined;
    return typeof value === 'boolean' ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Opens a ControlNet, T2I-Adapter, style adapter or IP-Adapter for a model: a file, or a diffusers folder. Dispose of it, before the model.
 *
 *     await using canny = await loadControl(model, 'control_v11p_sd15_canny.pth');
 *     textToImage(model, { prompt: 'a house', control: [{ model: canny, picture: edges }] });
 *
 * @throws `file-not-found`, `model-unknown`, and `weights-mismatch` for one of another family: one line with the file and the reason
 */
export async function loadControl(
  model: DenoisingModel,
  path: string,
  { imageEncoder, pool, ...options }: LoadControlOptions = {},
): Promise<ControlModel> {
  const opened: WeightSource[] = [];
  const open = async (file: string): Promise<WeightSource> => {
    const source = await openWeightsAt(file);
    opened.push(source);
    return source;
  };
  try {
    const source = await open(path);
    const encoder = imageEncoder === undefined ? undefined : await open(imageEncoder);
    return openControlModel(model, source, { ...options, imageEncoder: encoder, pool: pool ?? (await poolsIn(path)) });
  } catch (error) {
    for (const source of opened) await source.close();
    throw error;
  }
}
