/** What a model is for, and what it can make, by its configuration: its family's name, and the tasks that it takes. */

import { type CheckpointKind, checkpointKind } from '../checkpoints/assembled-config.ts';
import { modelFamily } from '../checkpoints/model-families.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';

const everyTask = ['txt2img', 'img2img', 'inpaint'] as const;

export type ModelTask = (typeof everyTask)[number];

type Config = Pick<LatentDiffusionConfig, 'cond_stage_config' | 'unet_config'>;

/** True for SDXL's refiner, whose condition has an aesthetic score. */
function isRefiner({ cond_stage_config: condition }: Config): boolean {
  if (typeof condition !== 'object' || condition?.kind !== 'composed') return false;
  return condition.embedders.some((one) => one.kind === 'sizes' && one.fields.includes('aesthetic'));
}

/** `Stable Diffusion 2`, `SDXL`, …: by the text encoders, so that small models have the name of their kind. */
export function familyName(config: Config): string {
  const { cond_stage_config: condition, unet_config: unet } = config;
  if (unet.kind === 'if_unet') return 'DeepFloyd IF';
  if (isRefiner(config)) return modelFamily('sdxl-refiner').name;
  const kind = typeof condition === 'object' ? condition?.kind : undefined;
  if (kind === 'composed') return modelFamily('sdxl').name;
  if (typeof condition !== 'object' || condition?.kind !== 'clip_text') return 'Latent Diffusion';
  // OpenCLIP's text encoder pads with 0.
  const isOpenClip = condition.pad_token_id === 0 && condition.hidden_act === 'gelu';
  return modelFamily(isOpenClip ? 'sd2' : 'sd1').name;
}

const fromPicture: readonly ModelTask[] = ['img2img'];
/** Kinds of models that do not take every task. */
const limited: { readonly [K in CheckpointKind]?: readonly ModelTask[] } = {
  ip2p: fromPicture,
  depth: fromPicture,
  upscale: fromPicture,
  enlarge: ['img2img', 'inpaint'],
  variation: fromPicture,
  'super-resolution': fromPicture,
  'semantic-map': fromPicture,
  inpaint: ['inpaint'],
  other: ['inpaint'],
};

/** The tasks that models of a kind take where they do not take all. */
export const tasksOfKind = (kind: CheckpointKind): readonly ModelTask[] | undefined => limited[kind];

/** The tasks that a model takes. */
export function modelTasks(config: LatentDiffusionConfig): readonly ModelTask[] {
  return limited[checkpointKind(config)] ?? (isRefiner(config) ? ['img2img', 'inpaint'] : everyTask);
}
