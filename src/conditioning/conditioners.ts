/** The table of conditioners by kind, and the conditioner of a model. */

import { conditionerPart } from '../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../config/latent-diffusion-config.ts';
import type { CondStageConfig } from '../config/latent-diffusion-config.ts';
import type { Params, Sym } from '../graph/trace.ts';
import type { NetworkSymbols } from '../models/trace-network.ts';
import { bert } from './bert.ts';
import { classes, labelKind } from './classes.ts';
import { clip } from './clip.ts';
import { clipEmbedder } from './clip-embedder.ts';
import type {
  Conditioner,
  ConditionerContext,
  ConditionerKind,
  ConditionerKinds,
  Tokenizer,
  TokenizerFiles,
} from './conditioner.ts';
import { composed } from './composed.ts';
import { layout } from './layout.ts';
import { semanticMap } from './semantic-map.ts';
import { absentText, none, picture } from './none.ts';
import { t5 } from './t5.ts';

const kinds: ConditionerKinds = {
  clip_text: clip,
  bert,
  t5_encoder: t5,
  clip_text_embedder: clipEmbedder,
  composed,
  class_embedder: classes,
  clip_image_embedder: picture,
  spatial_rescaler: semanticMap,
  kl: picture,
  vq: picture,
  identity: none,
};

/** Part of the conditioner's first network. */
const firstPart = conditionerPart(0);

interface Chosen {
  readonly kind: ConditionerKind<unknown>;
  readonly config: unknown;
}

/** The row of a model, with the configuration that it is for. */
function chosen({ unet_config, cond_stage_config, image_condition }: LatentDiffusionConfig): Chosen {
  // An upscaler's class is its noise level, which comes with the image.
  if (unet_config.kind === 'unet' && unet_config.num_classes !== null && !image_condition)
    return { kind: labelKind as ConditionerKind<unknown>, config: unet_config };
  if (cond_stage_config === null || cond_stage_config === 'first_stage')
    return { kind: unet_config.kind === 'if_unet' ? absentText : none, config: undefined };
  return { kind: kindOf(cond_stage_config), config: cond_stage_config };
}

function kindOf(config: CondStageConfig): ConditionerKind<unknown> {
  if (config.kind === 'bert' && !config.use_tokenizer) return layout as ConditionerKind<unknown>;
  return kinds[config.kind] as ConditionerKind<unknown>;
}

/** The conditioner of a model. */
export function conditionerOf(
  config: LatentDiffusionConfig,
  context: Omit<ConditionerContext, 'maxLength'>,
): Conditioner {
  const { kind, config: own } = chosen(config);
  return kind.create(own, firstPart, { ...context, maxLength: config.cond_stage_max_length });
}

/** The parts of a model's conditioner that training needs. */
export interface TrainingConditioner {
  readonly takes: Conditioner['takes'];
  /** Number of classes; 0 if it takes none. */
  readonly classes: number;
  /** The condition in a graph. Undefined for a kind that cannot be trained with. */
  readonly trace: ((p: Params, given: NetworkSymbols) => Readonly<Record<string, Sym>>) | undefined;
}

export function trainingConditioner(config: LatentDiffusionConfig): TrainingConditioner {
  const { kind, config: own } = chosen(config);
  const { trace } = kind;
  return {
    takes: kind.takes,
    classes: kind.classes?.(own) ?? 0,
    trace: trace && ((p, given) => trace(p, own, given)),
  };
}

/** The tokenizers of a model by the part of their text encoder. Empty if the model takes no text or the files do not suffice. */
export async function tokenizersOf(
  config: LatentDiffusionConfig,
  files: TokenizerFiles,
): Promise<ReadonlyMap<string, Tokenizer>> {
  const { kind, config: own } = chosen(config);
  return (await kind.tokenizers?.(own, files, firstPart)) ?? new Map();
}
