/** Loads a model in a browser: a file that a person chose, or a URL that is read by range. Only what is needed is read, when it is. */

import { checkOptions, type OptionNames } from '../config/known-options.ts';
import { lazyYaml } from '../config/lazy-yaml.ts';
import type { Engine } from '../engine/engine.ts';
import type { PrecisionName } from '../engine/precision.ts';
import { createWebEngine } from '../engine/web.ts';
import type { SentencePieceFiles } from '../conditioning/conditioner.ts';
import type { ClipTokenizerFiles } from '../tokenizer/clip-tokenizer-files.ts';
import type { ByteSource } from '../files/byte-source.ts';
import { chunkedBytes } from '../files/byte-source-chunked.ts';
import { blobBytes, openUrl, type UrlOptions } from '../files/byte-source-web.ts';
import { boundedBody, isPage } from '../files/whole-answer-web.ts';
import { StableDiffusionError } from '../errors.ts';
import { type Checkpoint, configKey, openCheckpoint } from '../checkpoints/checkpoint.ts';
import { openWeights } from '../formats/open-weights.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { EmbeddingName, LoraStrength } from './adapters.ts';
import type { Model } from './model.ts';
import { openModel } from './open-model.ts';

/** A `Blob` or `File`, or the address of one whose server answers range requests. */
export type ModelFile = Blob | string | URL;

export interface LoadModelOptions {
  /** By default one on WASM, which is stopped when the model is disposed of. */
  readonly engine?: Engine;
  readonly precision?: PrecisionName;
  /** The text of LDM's YAML. Default: that in the file's metadata, `NAME.yaml` beside an address, else by names and shapes. */
  readonly config?: string;
  /** The averaged weights instead of the last ones. */
  readonly ema?: boolean;
  /** The text of vocab.txt, for models with BERT's text encoder. */
  readonly vocabulary?: string;
  /** The texts of a CLIP tokenizer's files; by default CLIP's own as far as the embedding's rows reach. */
  readonly tokenizer?: ClipTokenizerFiles;
  /** Files for SDXL's second text encoder. */
  readonly tokenizer2?: ClipTokenizerFiles;
  /** T5's tokenizer, for models with its text encoder. */
  readonly sentencePiece?: SentencePieceFiles;
  /** A TAESD file for previews. */
  readonly taesd?: ModelFile;
  /** LoRA files (kohya, LyCORIS, PEFT, diffusers), merged as the weights are read. */
  readonly loras?: readonly (LoraStrength & { readonly file: ModelFile })[];
  /** Textual inversion files; their tokens can be used in prompts. */
  readonly embeddings?: readonly (EmbeddingName & { readonly file: ModelFile })[];
  /** Options for requests: headers, a `fetch`, a signal. */
  readonly request?: UrlOptions;
}

const optionNames: OptionNames<LoadModelOptions> = {
  engine: true,
  precision: true,
  config: true,
  ema: true,
  vocabulary: true,
  tokenizer: true,
  tokenizer2: true,
  sentencePiece: true,
  taesd: true,
  loras: true,
  embeddings: true,
  request: true,
};

async function openFile(file: ModelFile, options: LoadModelOptions): Promise<WeightSource> {
  const source: ByteSource =
    file instanceof Blob ? blobBytes(file) : chunkedBytes(await openUrl(addressOf(file).href, options.request));
  return openWeights(source);
}

/** An address as a page gives it, complete. Throws `invalid-argument`. */
function addressOf(file: string | URL): URL {
  const base = globalThis.location?.href;
  if (((typeof file === 'string' && file !== '') || file instanceof URL) && URL.canParse(file, base))
    return new URL(file, base);
  throw new StableDiffusionError(
    'invalid-argument',
    `The file of a model must be a File, a Blob or an address on the web; it is ${JSON.stringify(String(file)).slice(0, 200)}.`,
  );
}

const maximumConfig = 2 ** 20;

/** The text of `NAME.yaml` beside an address, as on disk; undefined where the server has none, or the file brings its own. */
async function configBeside(
  file: ModelFile,
  { metadata }: WeightSource,
  { request = {} }: LoadModelOptions,
): Promise<string | undefined> {
  if (file instanceof Blob || metadata?.has(configKey)) return undefined;
  const url = addressOf(file);
  if (!/\.(?:safetensors|ckpt|pt|pth|bin|gguf)$/i.test(url.pathname)) return undefined;
  url.pathname = url.pathname.replace(/\.[^./]+$/, '.yaml');
  const { fetch: ask = fetch, headers, signal } = request;
  const response = await ask(url.href, { ...(headers && { headers }), ...(signal && { signal }) }).catch(
    () => undefined,
  );
  if (!response?.ok || isPage(response.headers)) {
    await response?.body?.cancel();
    return undefined;
  }
  return (await boundedBody(response, maximumConfig))?.text();
}

/**
 * Loads a model; its networks are compiled when first used.
 * @throws `network`, `file-not-found`, `file-corrupt`, `file-truncated`, `file-unsafe`, `model-unknown`, `config-invalid`, `weights-mismatch`
 */
export async function loadModel(file: ModelFile, options: LoadModelOptions = {}): Promise<Model> {
  checkOptions(options, optionNames, 'loadModel');
  const { engine, config, ema, precision, taesd, loras, embeddings } = options;
  const source = await openFile(file, options);
  let checkpoint: Checkpoint;
  try {
    const text = config ?? (await configBeside(file, source, options));
    const document = text === undefined ? undefined : await lazyYaml(text, `the configuration of ${source.label}`);
    checkpoint = await openCheckpoint(source, { config: document, ema });
  } catch (error) {
    await source.close();
    throw error;
  }
  return openModel(
    {
      checkpoint,
      tokenizer: {
        vocabulary: options.vocabulary,
        clip: { cond_stage: options.tokenizer, cond_stage_2: options.tokenizer2 },
        sentencePiece: options.sentencePiece,
      },
      open: (adapter) => openFile(adapter, options),
      taesd,
      loras,
      embeddings,
    },
    { engine: () => engine ?? createWebEngine(), ownsEngine: engine === undefined, precision },
  );
}
