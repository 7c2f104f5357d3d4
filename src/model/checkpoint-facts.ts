/** The facts about a model that are needed to offer it and to accept a request for it, from its configuration alone: no network is opened. */

import { conditionerOf, tokenizersOf } from '../conditioning/conditioners.ts';
import { syntaxEncoding } from '../conditioning/prompt-contexts.ts';
import { conditionerParts } from '../config/conditioner-parts.ts';
import { denoiserUnit } from '../config/network-config.ts';
import type { RecommendedSettings } from '../config/recommended-settings.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { downsamplingOf } from './autoencoder.ts';
import { familyName, type ModelTask, modelTasks } from './model-tasks.ts';
import { nativeLatentSize } from './native-size.ts';

export interface CheckpointFacts {
  /** Native size of its pictures in pixels per side. */
  readonly nativeSize: number;
  /** Sides must be multiples of this. */
  readonly unit: number;
  readonly hasSafetyChecker: boolean;
  /** `Stable Diffusion 2`, `SDXL`, … */
  readonly family: string;
  /** What it can make. */
  readonly tasks: readonly ModelTask[];
  /** Width of the textual inversions that it takes, that of both text encoders together for SDXL; undefined for a model that takes none. */
  readonly embeddingWidth: number | undefined;
  /** Takes prompts in A1111's syntax. */
  readonly readsPromptSyntax: boolean;
  /** The model's own defaults of a request. */
  readonly recommended: RecommendedSettings;
}

/** Widths of CLIP's text encoders together. The refiner, which has SDXL's second alone, takes the files of SDXL. */
function embeddingWidth({ cond_stage_config: condition }: Checkpoint['config']): number | undefined {
  const widths = [...conditionerParts(condition).values()].flatMap((network) =>
    network.kind === 'clip_text' ? [network.hidden_size] : [],
  );
  const isComposed = typeof condition === 'object' && condition?.kind === 'composed';
  if (isComposed && widths.length === 1) return 768 + (widths[0] ?? 0);
  return widths.length === 0 ? undefined : widths.reduce((sum, width) => sum + width);
}

/** Reads no weights. */
export async function checkpointFacts({
  config,
  label,
  safety_config,
  recommendation,
}: Checkpoint): Promise<CheckpointFacts> {
  const downsampling = downsamplingOf(config.first_stage_config);
  const conditioner = conditionerOf(config, {
    label,
    tokenizers: await tokenizersOf(config, {}),
    run: () => Promise.reject(new Error('No network runs to describe a model.')),
  });
  return {
    nativeSize: nativeLatentSize(config) * downsampling,
    unit: downsampling * denoiserUnit(config.unet_config),
    hasSafetyChecker: safety_config !== undefined,
    family: familyName(config),
    tasks: modelTasks(config),
    embeddingWidth: embeddingWidth(config),
    readsPromptSyntax: syntaxEncoding(conditioner) !== undefined,
    recommended: recommendation?.settings ?? {},
  };
}
