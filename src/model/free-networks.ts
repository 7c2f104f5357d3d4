/**
 * Networks that are freed when a run does not need them any more. They are compiled again when they are next used, from the same weights, so
 * pictures are the same whether networks were freed or not.
 */

import { conditionerParts } from '../config/conditioner-parts.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import type { KeptForm } from './kept-form.ts';
import type { NetworkSet } from './network-set.ts';

/**
 * `auto`: text encoders are freed before the pictures are sampled, and the denoiser before they are decoded, if what comes next might not fit as
 * well. `low`: always, so that networks are loaded again for each batch. `once`: when no batch is left that needs them, for a model that makes
 * one run; nothing is loaded twice.
 */
export const memoryUses = ['auto', 'low', 'once'] as const;
export type MemoryUse = (typeof memoryUses)[number];

/** The part of a model that is freed. */
interface FreeableModel {
  readonly networks: NetworkSet;
  readonly checkpoint: Checkpoint;
  readonly memory: MemoryUse;
  /** The form of the denoiser for a run's extensions. */
  readonly keptForm: Pick<KeptForm, 'free'>;
}

/** Weights take more while they are brought to the runtime than in the end. */
const loading = 1.5;

interface Freeing {
  /** True if the rest of the run needs the network no more. */
  readonly isDone: boolean;
  /** Bytes of the largest run of another network. */
  readonly needed: number;
}

/** True if the networks that come next might not fit. Those that are there already have their memory. */
function isShort(networks: NetworkSet, next: readonly string[], needed: number): boolean {
  const toCome = networks.bytesToCome(next);
  const free = networks.engine.limits.availableMemory?.();
  return toCome > 0 && free !== undefined && free < loading * toCome + needed;
}

const frees = ({ networks, memory }: FreeableModel, next: readonly string[], { isDone, needed }: Freeing): boolean =>
  memory === 'low' || (memory === 'once' ? isDone : isShort(networks, next, needed));

/** When the prompts of a batch are encoded. */
export async function freeTextEncoders(model: FreeableModel, freeing: Freeing): Promise<void> {
  if (!frees(model, ['unet', 'first_stage'], freeing)) return;
  for (const part of conditionerParts(model.checkpoint.config.cond_stage_config).keys())
    await model.networks.release(part);
}

/** When the latents of a batch are made. */
export async function freeDenoiser(model: FreeableModel, freeing: Freeing): Promise<void> {
  if (!frees(model, ['first_stage'], freeing)) return;
  await model.networks.release('unet');
  await model.keptForm.free();
}
