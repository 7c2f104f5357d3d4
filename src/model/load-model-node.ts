/** Loads a model from this machine's disk: a checkpoint file with or without a YAML beside it, or a diffusers folder. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NetworkConfig } from '../config/network-config.ts';
import type { Engine } from '../engine/engine.ts';
import { createNodeEngine } from '../engine/node.ts';
import { StableDiffusionError } from '../errors.ts';
import { type BertTokenizer, createBertTokenizer } from '../tokenizer/bert-tokenizer.ts';
import { type ClipTokenizer, createClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { createClipTokenizerFromFiles } from '../tokenizer/clip-tokenizer-files.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { type OpenCheckpointOptions, openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type EmbeddingName, type LoraStrength, withAdapters } from './adapters.ts';
import { Model } from './model.ts';

export interface LoadModelOptions extends OpenCheckpointOptions {
  /** By default one on the CPU, which is stopped when the model is disposed of. */
  readonly engine?: Engine;
  /** Stop `engine` too when the model is disposed of. */
  readonly ownsEngine?: boolean;
  readonly precision?: 'float32' | 'float16';
  /** vocab.txt of the BERT tokenizer, for models with BERT's text encoder. By default `vocab.txt` beside the checkpoint. */
  readonly vocabulary?: string;
  /** A TAESD file for previews. */
  readonly taesd?: string;
  /** LoRA files (kohya, LyCORIS, PEFT, diffusers), merged as the weights are read. */
  readonly loras?: readonly (string | (LoraStrength & { readonly path: string }))[];
  /** Textual inversion files; their tokens can be used in prompts. */
  readonly embeddings?: readonly (string | (EmbeddingName & { readonly path: string }))[];
}

/** Opens the files of adapters, given by path alone or with settings, and notes them in `all`. */
async function openAll<T extends { readonly path: string }>(
  files: readonly (string | T)[] = [],
  all: WeightSource[],
): Promise<(Omit<T, 'path'> & { readonly source: WeightSource })[]> {
  const opened: (Omit<T, 'path'> & { readonly source: WeightSource })[] = [];
  for (const file of files) {
    const { path, ...settings } = typeof file === 'string' ? ({ path: file } as T) : file;
    const source = await openWeightsAt(path);
    all.push(source);
    opened.push({ ...settings, source });
  }
  return opened;
}

/** The model that ships with the package. */
export const pocketModel = fileURLToPath(new URL('../../models/pocket.safetensors', import.meta.url));

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new StableDiffusionError(existsSync(path) ? 'file-access' : 'file-not-found', `${path} could not be read.`, {
      cause,
    });
  }
}

/** The tokenizer of a model: from the files beside it, else CLIP's own as far as the embedding's rows reach. */
async function openTokenizer(
  path: string,
  checkpoint: Checkpoint,
  vocabulary: string | undefined,
): Promise<ClipTokenizer | BertTokenizer | undefined> {
  const stage = checkpoint.config.cond_stage_config;
  if (typeof stage !== 'object' || stage === null) return undefined;
  if (stage.kind === 'bert') {
    const file = vocabulary ?? join(dirname(path), 'vocab.txt');
    return existsSync(file) || vocabulary !== undefined
      ? createBertTokenizer({ vocab: await readText(file), length: stage.max_seq_len })
      : undefined;
  }
  if (stage.kind !== 'clip_text' && stage.kind !== 'clip_text_embedder') return undefined;
  const folder = join(path, 'tokenizer');
  if (existsSync(join(folder, 'merges.txt'))) {
    const vocab = existsSync(join(folder, 'vocab.json')) ? await readText(join(folder, 'vocab.json')) : undefined;
    const config = existsSync(join(folder, 'tokenizer_config.json'))
      ? await readText(join(folder, 'tokenizer_config.json'))
      : undefined;
    return createClipTokenizerFromFiles({
      merges: await readText(join(folder, 'merges.txt')),
      vocab,
      config,
    });
  }
  return stage.kind === 'clip_text'
    ? createClipTokenizer({ vocabSize: stage.vocab_size })
    : createClipTokenizer({ vocabSize: stage.model.vocab_size, pad: 'zero' });
}

/**
 * Loads a model; its networks are compiled when first used.
 * @throws `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsafe`, `model-unknown`, `config-invalid`, `weights-mismatch`
 */
export async function loadModel(path: string = pocketModel, options: LoadModelOptions = {}): Promise<Model> {
  const opened = await openCheckpointAt(path, options);
  const adapterFiles: WeightSource[] = [];
  try {
    const files = {
      loras: await openAll(options.loras, adapterFiles),
      embeddings: await openAll(options.embeddings, adapterFiles),
    };
    const { checkpoint, tokenizer, adapters } = await withAdapters(
      { checkpoint: opened, tokenizer: await openTokenizer(path, opened, options.vocabulary) },
      files,
    );
    let preview: { config: NetworkConfig; weights: Checkpoint['parts']['unet'] } | undefined;
    if (options.taesd !== undefined) {
      const { config, source } = detectNetwork(await openWeightsAt(options.taesd));
      preview = { config, weights: source };
    }
    return new Model({
      engine: options.engine ?? createNodeEngine(),
      ownsEngine: options.ownsEngine ?? options.engine === undefined,
      checkpoint,
      adapters,
      ...(tokenizer ? { tokenizer } : {}),
      ...(preview ? { preview } : {}),
      ...(options.precision ? { precision: options.precision } : {}),
    });
  } catch (error) {
    await Promise.all([opened, ...adapterFiles].map((file) => file.close()));
    throw error;
  }
}
