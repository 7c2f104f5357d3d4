/** Adapters of a model: LoRAs merged into its weights, textual inversions as further tokens of its text encoder and tokenizer. */

import type { Tokenizer } from '../conditioning/conditioner.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { readBlockWeights } from '../adapters/lora/block-weights.ts';
import { openLora } from '../adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../adapters/lora/with-lora.ts';
import { fileStem } from '../adapters/textual-inversion.ts';
import type { Extension } from '../extensions/extension.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { withHypernetworks } from './with-hypernetworks.ts';
import { withTextAdditions } from './text-additions.ts';

/** Strengths of a LoRA. */
export interface LoraStrength {
  /** In the UNet; 1 (default) is the trained strength. */
  readonly scale?: number;
  /** In the text encoder. Default: as `scale`. */
  readonly textScale?: number;
  /** A factor for each block: a preset, or 17 or 26 numbers with commas; after `;` exceptions (`adapters/lora/block-weights.ts`). */
  readonly blocks?: string;
}

/** Strength of a hypernetwork. */
export interface HypernetworkStrength {
  /** 1 (default) is the trained strength. */
  readonly scale?: number;
}

/** The name of an embedding in prompts. */
export interface EmbeddingName {
  /** Default: the name in the file, else the file's name. */
  readonly token?: string;
}

export interface Adapters {
  readonly loras?: readonly (LoraStrength & { readonly source: WeightSource })[];
  readonly embeddings?: readonly (EmbeddingName & { readonly source: WeightSource })[];
  readonly hypernetworks?: readonly (HypernetworkStrength & { readonly source: WeightSource })[];
}

export interface AdaptedModel {
  readonly checkpoint: Checkpoint;
  readonly tokenizers: ReadonlyMap<string, Tokenizer>;
  /** The applied adapters, for records of pictures: `lora:NAME:0.8`, `hypernet:NAME:1`, `embedding:TOKEN`. */
  readonly adapters: readonly string[];
  /** Of the UNet, whose weights hold their parameters. */
  readonly extensions: readonly Extension[];
}

/**
 * A checkpoint and its tokenizers with adapters. Closing the checkpoint closes the files of LoRAs and hypernetworks; embeddings are read and closed here.
 * @throws `weights-mismatch` for adapters of another architecture, naming what does not fit; `file-unsupported`, `invalid-argument`
 */
export async function withAdapters(
  { checkpoint, tokenizers }: Pick<AdaptedModel, 'checkpoint' | 'tokenizers'>,
  { loras = [], embeddings = [], hypernetworks = [] }: Adapters,
): Promise<AdaptedModel> {
  const withLoras = checkpointWithLora(
    checkpoint,
    loras.map(({ source, blocks, ...strength }) => ({
      ...strength,
      lora: openLora(source),
      ...(blocks === undefined ? {} : { blocks: readBlockWeights(blocks) }),
    })),
  );
  const { checkpoint: merged, extensions } = withHypernetworks(withLoras, hypernetworks);
  const ofLoras = loras.map(
    ({ source, scale = 1, textScale = scale, blocks }) =>
      `lora:${fileStem(source.label)}:${scale}${textScale === scale ? '' : `:${textScale}`}${blocks === undefined ? '' : `:lbw=${blocks}`}`,
  );
  const adapters = [
    ...ofLoras,
    ...hypernetworks.map(({ source, scale = 1 }) => `hypernet:${fileStem(source.label)}:${scale}`),
  ];
  if (embeddings.length === 0) return { checkpoint: merged, tokenizers, adapters, extensions };
  const extended = await withTextAdditions(merged, tokenizers, embeddings);
  return {
    checkpoint: extended.checkpoint,
    tokenizers: extended.tokenizers,
    extensions,
    adapters: [...adapters, ...extended.tokens.map((token) => `embedding:${token}`)],
  };
}
