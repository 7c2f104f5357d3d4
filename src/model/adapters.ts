/** Adapters of a model: LoRAs merged into its weights, textual inversions as further tokens of its text encoder and tokenizer. */

import { StableDiffusionError } from '../errors.ts';
import { historicalEos } from '../models/clip-text.ts';
import type { Tokenizer } from '../conditioning/conditioner.ts';
import { withPlaceholders } from '../tokenizer/clip-placeholders.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { type LoraBlockWeights, parseBlockWeights } from '../adapters/lora/block-weights.ts';
import { openLora } from '../adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../adapters/lora/with-lora.ts';
import { fileStem, readEmbeddings, withEmbeddings } from '../adapters/textual-inversion.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** Strengths of a LoRA. */
export interface LoraStrength {
  /** In the UNet; 1 (default) is the trained strength. */
  readonly scale?: number;
  /** In the text encoder. Default: as `scale`. */
  readonly textScale?: number;
  /** A factor for each block: a preset, or 17 or 26 numbers with commas; after `;` exceptions (`adapters/lora/block-weights.ts`). */
  readonly blocks?: string;
}

/** The name of an embedding in prompts. */
export interface EmbeddingName {
  /** Default: the name in the file, else the file's name. */
  readonly token?: string;
}

export interface Adapters {
  readonly loras?: readonly (LoraStrength & { readonly source: WeightSource })[];
  readonly embeddings?: readonly (EmbeddingName & { readonly source: WeightSource })[];
}

export interface AdaptedModel {
  readonly checkpoint: Checkpoint;
  readonly tokenizers: ReadonlyMap<string, Tokenizer>;
  /** The applied adapters, for records of pictures: `lora:NAME:0.8`, `embedding:TOKEN`. */
  readonly adapters: readonly string[];
}

/** `WEIGHTS` or `WEIGHTS;EXCEPTIONS`. */
function readBlocks(text: string): LoraBlockWeights {
  const [weights = '', exceptions = ''] = text.split(';', 2);
  return parseBlockWeights(weights, exceptions);
}

/**
 * A checkpoint and its tokenizers with adapters. Closing the checkpoint closes the LoRAs' files; embeddings are read and closed here.
 * @throws `weights-mismatch` for adapters of another architecture, naming what does not fit; `file-unsupported`, `invalid-argument`
 */
export async function withAdapters(
  { checkpoint, tokenizers }: Pick<AdaptedModel, 'checkpoint' | 'tokenizers'>,
  { loras = [], embeddings = [] }: Adapters,
): Promise<AdaptedModel> {
  const merged = checkpointWithLora(
    checkpoint,
    loras.map(({ source, blocks, ...strength }) => ({
      ...strength,
      lora: openLora(source),
      ...(blocks === undefined ? {} : { blocks: readBlocks(blocks) }),
    })),
  );
  const adapters = loras.map(
    ({ source, scale = 1, textScale = scale, blocks }) =>
      `lora:${fileStem(source.label)}:${scale}${textScale === scale ? '' : `:${textScale}`}${blocks === undefined ? '' : `:lbw=${blocks}`}`,
  );
  if (embeddings.length === 0) return { checkpoint: merged, tokenizers, adapters };
  const text = merged.config.cond_stage_config;
  const tokenizer = tokenizers.get('cond_stage');
  if (typeof text !== 'object' || text?.kind !== 'clip_text' || !tokenizer || !('profile' in tokenizer)) {
    throw new StableDiffusionError(
      'invalid-argument',
      `${checkpoint.label} has no CLIP text encoder with a token table; textual inversions cannot be used with it.`,
    );
  }
  const read = [];
  for (const { source, token } of embeddings) {
    read.push(...(await readEmbeddings(source, token === undefined ? {} : { token })));
    await source.close();
  }
  const extended = withEmbeddings(merged.parts.cond_stage, text, read);
  const { config } = extended;
  const cond_stage_config = {
    ...config,
    // The largest id of a row is now an added token's.
    eos_token_id: config.eos_token_id === historicalEos ? tokenizer.endId : config.eos_token_id,
  };
  return {
    checkpoint: {
      ...merged,
      config: { ...merged.config, cond_stage_config },
      parts: { ...merged.parts, cond_stage: extended.source },
    },
    tokenizers: new Map(tokenizers).set('cond_stage', withPlaceholders(tokenizer, extended.placeholders)),
    adapters: [...adapters, ...read.map(({ token }) => `embedding:${token}`)],
  };
}
