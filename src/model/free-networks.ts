/**
 * Networks that are freed when a run does not need them any more. They are compiled again when they are next used, from the same weights, so
 * pictures are the same whether networks were freed or not.
 */

import { conditionerParts } from '../config/conditioner-parts.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { NetworkSet } from './network-set.ts';

/**
 * `auto`: text encoders are freed before the pictures are sampled if the other networks might not fit as well. `low`: text encoders always,
 * and the denoiser before pictures are decoded, so that networks are loaded again for each batch.
 */
export const memoryUses = ['auto', 'low'] as const;
export type MemoryUse = (typeof memoryUses)[number];

/** The part of a model that is freed. */
interface FreeableModel {
  readonly networks: NetworkSet;
  readonly checkpoint: Checkpoint;
  readonly memory: MemoryUse;
}

/** Weights take more while they are brought to the runtime than in the end. */
const loading = 1.5;

/** `needed` are the bytes of the largest run of another network. */
function isShort({ networks, memory }: FreeableModel, needed: number): boolean {
  if (memory === 'low') return true;
  const free = networks.engine.limits.availableMemory?.();
  return free !== undefined && free < loading * networks.bytesToCome(['unet', 'first_stage']) + needed;
}

/** When the prompts of a batch are encoded. */
export async function freeTextEncoders(model: FreeableModel, needed: number): Promise<void> {
  if (!isShort(model, needed)) return;
  for (const part of conditionerParts(model.checkpoint.config.cond_stage_config).keys())
    await model.networks.release(part);
}

/** When the latents of a batch are made. */
export async function freeDenoiser(model: FreeableModel): Promise<void> {
  if (model.memory === 'low') await model.networks.release('unet');
}
