/** Loads a model from disk: a checkpoint file with or without a YAML next to it, or a diffusers folder. */

import { demand } from '../arguments.ts';
import { checkOptions, type OptionNames } from '../config/known-options.ts';
import { StableDiffusionError } from '../errors.ts';
import { nodeVersionFault } from '../files/node-version-node.ts';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { conditionerPart } from '../config/conditioner-parts.ts';
import type { SentencePieceFiles, TokenizerFiles } from '../conditioning/conditioner.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { createNodeEngine } from '../engine/node.ts';
import { readFileIfThere, readTextIfThere, readTextOf, whatIsAt } from '../files/open-node.ts';
import { type OpenCheckpointOptions, openCheckpointAt } from '../checkpoints/open-checkpoint-node.ts';
import type { ClipTokenizerFiles } from '../tokenizer/clip-tokenizer-files.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import { modelPath, type PullOptions } from '../hub/pull-node.ts';
import type { EmbeddingName, HypernetworkStrength, LoraStrength } from './adapters.ts';
import type { MemoryUse } from './free-networks.ts';
import type { Model } from './model.ts';
import { openModel } from './open-model.ts';

export interface LoadModelOptions extends OpenCheckpointOptions {
  /** By default one on the CPU, which is stopped when the model is disposed of. */
  readonly engine?: Engine;
  /** Stop `engine` too when the model is disposed of. */
  readonly ownsEngine?: boolean;
  readonly precision?: PrecisionName | undefined;
  /**
   * `low` frees text encoders and denoiser when they are done, in every run; `once`, for a model that makes one run, when no batch is left that
   * needs them. Default `auto`: if memory is short.
   */
  readonly memory?: MemoryUse | undefined;
  /** vocab.txt of the BERT tokenizer, for models with BERT's text encoder. Default: `vocab.txt` next to the checkpoint. */
  readonly vocabulary?: string;
  /** A TAESD file for previews. */
  readonly taesd?: string;
  /** LoRA files (kohya, LyCORIS, PEFT, diffusers), merged as the weights are read. */
  readonly loras?: readonly (string | (LoraStrength & { readonly path: string }))[];
  /** Textual inversion files; their tokens can be used in prompts. */
  readonly embeddings?: readonly (string | (EmbeddingName & { readonly path: string }))[];
  /** A1111's hypernetworks, applied in their order. */
  readonly hypernetworks?: readonly (string | (HypernetworkStrength & { readonly path: string }))[];
  /** Download options for models given by name: settings, progress, a signal. Default: settings of the environment. */
  readonly hub?: PullOptions;
}

const optionNames: OptionNames<LoadModelOptions> = {
  config: true,
  ema: true,
  variant: true,
  vae: true,
  textEncoder: true,
  engine: true,
  ownsEngine: true,
  precision: true,
  memory: true,
  vocabulary: true,
  taesd: true,
  loras: true,
  embeddings: true,
  hypernetworks: true,
  hub: true,
};

/** The model that ships with the package. */
// Not as `new URL(…, import.meta.url)`, which bundlers take for a file of their own.
export const pocketModel = join(dirname(fileURLToPath(import.meta.url)), '../../models/pocket.safetensors');

const readText = (path: string): Promise<string> => readTextOf('tokenizer', path);

/** A file of a model's folder, or next to a model; the folder may be somebody else's. */
const textIfThere = (within: string, ...names: readonly string[]): Promise<string | undefined> =>
  readTextIfThere('tokenizer', join(within, ...names), { within });

async function clipFiles(model: string, folder: string): Promise<ClipTokenizerFiles | undefined> {
  const merges = await textIfThere(model, folder, 'merges.txt');
  if (merges === undefined) return undefined;
  return {
    merges,
    vocab: await textIfThere(model, folder, 'vocab.json'),
    config: await textIfThere(model, folder, 'tokenizer_config.json'),
  };
}

/** T5's files in `tokenizer/`. CLIP's folder has a `tokenizer.json` too, but also a `merges.txt`. */
async function sentencePieceFiles(within: string): Promise<SentencePieceFiles | undefined> {
  const folder = 'tokenizer';
  if ((await whatIsAt(join(within, folder, 'merges.txt'))) !== undefined) return undefined;
  const model = await readFileIfThere('tokenizer', join(within, folder, 'spiece.model'), { within });
  const json = model ? undefined : await textIfThere(within, folder, 'tokenizer.json');
  return model || json !== undefined ? { model, json } : undefined;
}

/** The tokenizer's files next to a model: `vocab.txt` for BERT, the folders `tokenizer/` and `tokenizer_2/` for CLIP and T5. */
async function tokenizerFiles(path: string, vocabulary: string | undefined): Promise<TokenizerFiles> {
  return {
    vocabulary:
      vocabulary === undefined
        ? ((await textIfThere(dirname(path), 'vocab.txt')) ?? (await textIfThere(path, 'tokenizer', 'vocab.txt')))
        : await readText(vocabulary),
    clip: {
      [conditionerPart(0)]: await clipFiles(path, 'tokenizer'),
      [conditionerPart(1)]: await clipFiles(path, 'tokenizer_2'),
    },
    sentencePiece: await sentencePieceFiles(path),
  };
}

/** `path` of an adapter, given alone or with settings. */
function withFile<T extends { readonly path: string }>(
  files: readonly (string | T)[] = [],
): (Omit<T, 'path'> & { readonly file: string })[] {
  return files.map((given) => {
    const { path, ...settings } = typeof given === 'string' ? ({ path: given } as T) : given;
    return { ...settings, file: path };
  });
}

/**
 * Loads a model, by its path or its name (`hf:ORG/NAME`, `ORG/NAME`, `https://…`, `civitai:VERSION`, a short name), which is then downloaded
 * and kept. Its networks are compiled when first used.
 * @throws `not-found`, `forbidden`, `network`, `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsafe`, `model-unknown`, `config-invalid`, `weights-mismatch`
 */
export async function loadModel(model: string = pocketModel, options: LoadModelOptions = {}): Promise<Model> {
  const fault = nodeVersionFault();
  if (fault !== undefined) throw new StableDiffusionError('engine-unavailable', fault);
  demand(typeof model === 'string', 'The model', 'a path or a name', model);
  checkOptions(options, optionNames, 'loadModel');
  const { engine, vocabulary, taesd, precision, memory } = options;
  const hub: PullOptions = { variant: options.variant, ...options.hub };
  const path = await modelPath(model, hub);
  const tokenizer = await tokenizerFiles(path, vocabulary);
  const separate = (file: string | undefined) => (file === undefined ? undefined : modelPath(file, hub));
  const vae = await separate(options.vae);
  const given = options.textEncoder ?? [];
  const textEncoder: string[] = [];
  for (const file of typeof given === 'string' ? [given] : given) textEncoder.push(await modelPath(file, hub));
  const checkpoint = await openCheckpointAt(path, { ...options, vae, textEncoder });
  return openModel(
    {
      checkpoint,
      tokenizer,
      open: async (file) => openWeightsAt(await modelPath(file, hub)),
      taesd,
      loras: withFile(options.loras),
      embeddings: withFile(options.embeddings),
      hypernetworks: withFile(options.hypernetworks),
    },
    {
      engine: () => engine ?? createNodeEngine(),
      ownsEngine: options.ownsEngine ?? engine === undefined,
      precision,
      memory,
    },
  );
}
