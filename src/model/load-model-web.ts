/** Loads a model in a browser: a file that a person chose, or a URL that is read by range. Only what is needed is read, when it is. */

import { parseYaml } from '../config/yaml.ts';
import type { Engine } from '../engine/engine.ts';
import { createWebEngine } from '../engine/web.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { type BertTokenizer, createBertTokenizer } from '../tokenizer/bert-tokenizer.ts';
import { type ClipTokenizer, createClipTokenizer } from '../tokenizer/clip-tokenizer.ts';
import { type ClipTokenizerFiles, createClipTokenizerFromFiles } from '../tokenizer/clip-tokenizer-files.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { chunkedBytes } from '../files/byte-source-chunked.ts';
import { blobBytes, openUrl, type UrlOptions } from '../files/byte-source-web.ts';
import { type Checkpoint, openCheckpoint } from '../checkpoints/checkpoint.ts';
import { detectNetwork } from '../checkpoints/detect.ts';
import { openWeights } from '../formats/open-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type EmbeddingName, type LoraStrength, withAdapters } from './adapters.ts';
import { Model } from './model.ts';

/** A `Blob` or `File`, or the address of one whose server answers range requests. */
export type ModelFile = Blob | string | URL;

export interface LoadModelOptions {
  /** By default one on WASM, which is stopped when the model is disposed of. */
  readonly engine?: Engine;
  readonly precision?: 'float32' | 'float16';
  /** The text of LDM's YAML; without it the architecture is read from names and shapes. */
  readonly config?: string;
  /** The averaged weights instead of the last ones. */
  readonly ema?: boolean;
  /** The text of vocab.txt, for models with BERT's text encoder. */
  readonly vocabulary?: string;
  /** The texts of a CLIP tokenizer's files; by default CLIP's own as far as the embedding's rows reach. */
  readonly tokenizer?: ClipTokenizerFiles;
  /** A TAESD file for previews. */
  readonly taesd?: ModelFile;
  /** LoRA files (kohya, LyCORIS, PEFT, diffusers), merged as the weights are read. */
  readonly loras?: readonly (LoraStrength & { readonly file: ModelFile })[];
  /** Textual inversion files; their tokens can be used in prompts. */
  readonly embeddings?: readonly (EmbeddingName & { readonly file: ModelFile })[];
  /** How URLs are asked for: headers, a `fetch`, a signal. */
  readonly request?: UrlOptions;
}

async function openFile(file: ModelFile, options: LoadModelOptions): Promise<WeightSource> {
  const source: ByteSource =
    file instanceof Blob
      ? blobBytes(file)
      : chunkedBytes(await openUrl(new URL(file, globalThis.location?.href).href, options.request));
  return openWeights(source);
}

function tokenizerFor(checkpoint: Checkpoint, options: LoadModelOptions): ClipTokenizer | BertTokenizer | undefined {
  const stage = checkpoint.config.cond_stage_config;
  if (typeof stage !== 'object' || stage === null) return undefined;
  if (stage.kind === 'bert')
    return options.vocabulary === undefined
      ? undefined
      : createBertTokenizer({ vocab: options.vocabulary, length: stage.max_seq_len });
  if (stage.kind !== 'clip_text' && stage.kind !== 'clip_text_embedder') return undefined;
  if (options.tokenizer) return createClipTokenizerFromFiles(options.tokenizer);
  return stage.kind === 'clip_text'
    ? createClipTokenizer({ vocabSize: stage.vocab_size })
    : createClipTokenizer({ vocabSize: stage.model.vocab_size, pad: 'zero' });
}

/**
 * Loads a model; its networks are compiled when first used.
 * @throws `network`, `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsafe`, `model-unknown`, `config-invalid`, `weights-mismatch`
 */
export async function loadModel(file: ModelFile, options: LoadModelOptions = {}): Promise<Model> {
  const source = await openFile(file, options);
  let preview: { readonly config: NetworkConfig; readonly weights: WeightSource } | undefined;
  try {
    const opened = await openCheckpoint(source, {
      ...(options.config === undefined
        ? {}
        : { config: parseYaml(options.config, `the configuration of ${source.label}`) }),
      ema: options.ema,
    });
    const openAll = <T extends { readonly file: ModelFile }>(files: readonly T[] = []) =>
      Promise.all(
        files.map(async ({ file: adapter, ...settings }) => ({
          ...settings,
          source: await openFile(adapter, options),
        })),
      );
    const files = { loras: await openAll(options.loras), embeddings: await openAll(options.embeddings) };
    const { checkpoint, tokenizer, adapters } = await withAdapters(
      { checkpoint: opened, tokenizer: tokenizerFor(opened, options) },
      files,
    );
    if (options.taesd !== undefined) {
      const { config, source: weights } = detectNetwork(await openFile(options.taesd, options));
      preview = { config, weights };
    }
    return new Model({
      engine: options.engine ?? (await createWebEngine()),
      ownsEngine: options.engine === undefined,
      checkpoint,
      adapters,
      ...(tokenizer ? { tokenizer } : {}),
      ...(preview ? { preview } : {}),
      ...(options.precision ? { precision: options.precision } : {}),
    });
  } catch (error) {
    await Promise.all([source.close(), preview?.weights.close()]);
    throw error;
  }
}
