/** A model from an opened checkpoint with its tokenizer's files, adapters and preview decoder: what loading from disk and in browsers have in common. */

import type { TokenizerFiles } from '../conditioning/conditioner.ts';
import { tokenizersOf } from '../conditioning/conditioners.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { checkpointNetworks } from '../checkpoints/checkpoint-networks.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { StableDiffusionError } from '../errors.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { EmbeddingName, HypernetworkStrength, LoraStrength } from './adapters.ts';
import type { MemoryUse } from './free-networks.ts';
import { lazyAdapters } from './lazy-adapters.ts';
import { Model } from './model.ts';
import { assertNetworksMatch, type NamedNetwork, withExtensions } from './network-set.ts';

/** An adapter's source (a file or similar), with its settings. */
type FileWith<F, S> = S & { readonly file: F };

export interface ModelFiles<F> {
  readonly checkpoint: Checkpoint;
  readonly tokenizer: TokenizerFiles;
  readonly open: (file: F) => Promise<WeightSource>;
  readonly taesd?: F | undefined;
  readonly loras?: readonly FileWith<F, LoraStrength>[] | undefined;
  readonly embeddings?: readonly FileWith<F, EmbeddingName>[] | undefined;
  readonly hypernetworks?: readonly FileWith<F, HypernetworkStrength>[] | undefined;
}

export interface OpenModelOptions {
  /** Makes the engine, once everything else is known to fit. */
  readonly engine: () => Engine | Promise<Engine>;
  readonly ownsEngine: boolean;
  readonly precision?: PrecisionName | undefined;
  readonly memory?: MemoryUse | undefined;
}

/** Opens adapters and preview, checks that all weights fit, and makes the model. If that fails, all opened files are closed and no engine runs. */
export async function openModel<F>(files: ModelFiles<F>, options: OpenModelOptions): Promise<Model> {
  const opened: { close(): Promise<void> }[] = [files.checkpoint];
  const openAll = async <S extends object>(given: readonly FileWith<F, S>[] = []) => {
    const sources: (Omit<FileWith<F, S>, 'file'> & { readonly source: WeightSource })[] = [];
    for (const { file, ...settings } of given) {
      const source = await files.open(file);
      opened.push(source);
      sources.push({ ...settings, source });
    }
    return sources;
  };
  let engine: Engine | undefined;
  try {
    const loras = await openAll<LoraStrength>(files.loras);
    const embeddings = await openAll<EmbeddingName>(files.embeddings);
    const hypernetworks = await openAll<HypernetworkStrength>(files.hypernetworks);
    const { checkpoint, tokenizers, adapters, extensions } = await lazyAdapters(
      { checkpoint: files.checkpoint, tokenizers: await tokenizersOf(files.checkpoint.config, files.tokenizer) },
      { loras, embeddings, hypernetworks },
    );
    let preview: NamedNetwork | undefined;
    if (files.taesd !== undefined) {
      const source = await files.open(files.taesd);
      opened.push(source);
      preview = await previewDecoder(source, checkpoint);
    }
    assertNetworksMatch(withExtensions(checkpointNetworks(checkpoint), extensions).values());
    engine = await options.engine();
    const { ownsEngine, precision, memory } = options;
    return new Model({ engine, ownsEngine, precision, memory, checkpoint, tokenizers, adapters, extensions, preview });
  } catch (error) {
    if (options.ownsEngine) await engine?.dispose();
    await Promise.all(opened.map((file) => file.close()));
    throw error;
  }
}

/** TAESD for the model's latents. Throws `model-unknown` for another network, `weights-mismatch` for latents of other channels. */
async function previewDecoder(source: WeightSource, { label, config: model }: Checkpoint): Promise<NamedNetwork> {
  const { config, source: weights } = detectNetwork(source);
  if (config.kind !== 'taesd') {
    const { notAModel } = await import('../checkpoints/family.ts');
    throw (
      notAModel(source, config.kind) ??
      new StableDiffusionError('model-unknown', `${source.label} is not a TAESD autoencoder; it is ${config.kind}.`)
    );
  }
  const { first_stage_config: stage } = model;
  const channels = stage.kind === 'identity' ? undefined : stage.embed_dim;
  if (config.latent_channels !== channels)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label} is a TAESD autoencoder for latents of ${config.latent_channels} channels, and those of ${label} have ${channels ?? 'none'}. Use the one for its family: taesd for Stable Diffusion 1 and 2, taesdxl for SDXL.`,
    );
  return { config, weights };
}
