/**
 * Opens a whole model by path: a CompVis file with or without its YAML, or a diffusers folder.
 *
 * A text encoder that the YAML names by `version` may be a folder next to the YAML, whose `config.json` is then used.
 */

import { readdir, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import { modelSection, textEncoderVersion } from '../config/ldm-config.ts';
import { isMapping, type Mapping } from '../config/validate.ts';
import { parseYaml } from '../config/yaml.ts';
import { StableDiffusionError } from '../errors.ts';
import { fileError } from '../files/byte-source-node.ts';
import { type OpenOptions, readTextOf } from '../files/open-node.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { type DiffusersComponent, diffusersCheckpoint } from './diffusers.ts';
import { openWeightsAt } from '../formats/open-weights-node.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { refuseAutoencoder } from './model-families.ts';
import { splitFilesIn } from './split-files-node.ts';
import { partNetwork, putTogether } from './put-together.ts';
import { isHiddenName } from '../files/hidden-name.ts';

export interface OpenCheckpointOptions {
  /** Path of LDM's YAML. Default: the `.yaml` with the checkpoint's name next to it, if it exists. */
  readonly config?: string;
  /** The averaged weights instead of the last ones. */
  readonly ema?: boolean;
  /** For a diffusers folder: the variant to open, such as `fp16`. */
  readonly variant?: string;
  /** Path of an autoencoder (VAE) to use instead of the model's own. Default: `NAME.vae.safetensors` or `NAME.vae.pt` next to it, if it exists. */
  readonly vae?: string;
  /** Path of a text encoder to use instead of the model's own, or for a file that has none; SDXL's two in any order. */
  readonly textEncoder?: string | readonly string[];
}

/** Throws what `openWeightsAt`, `openCheckpoint` and the configuration readers throw. */
export async function openCheckpointAt(path: string, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  const status = await stat(path).catch((cause: unknown) => {
    throw fileError(path, cause);
  });
  if (status.isDirectory()) {
    const split = (await existing(join(path, 'model_index.json'))) ? undefined : await splitFilesIn(path);
    if (!split) return openDiffusersFolder(path, options);
    const { unet, textEncoders, vae: own } = split;
    const textEncoder = listOf(options.textEncoder).length > 0 ? options.textEncoder : textEncoders;
    const checkpoint = await openCheckpointAt(unet, { ...options, textEncoder, vae: options.vae ?? own });
    return { ...checkpoint, label: path };
  }
  const configPath = options.config ?? (await existing(`${path.replace(/\.[^./\\]+$/, '')}.yaml`));
  const config = configPath === undefined ? undefined : await readConfigFile(configPath);
  const pretrained = configPath === undefined ? undefined : await pretrainedBeside(config, configPath);
  const vae = options.vae ?? (await vaeBeside(path));
  const checkpoint = await openOwned(await withParts(path, { ...options, vae }), (source) =>
    openCheckpoint(source, {
      config,
      ema: options.ema,
      ...(pretrained ? { pretrained: () => pretrained } : {}),
    }),
  );
  return vae === undefined || options.vae !== undefined
    ? checkpoint
    : { ...checkpoint, assumed: [...checkpoint.assumed, `the autoencoder of ${vae}, which lies next to the model`] };
}

/** A1111's habit: an autoencoder of the model's name next to it. */
async function vaeBeside(path: string): Promise<string | undefined> {
  const stem = path.replace(/\.[^./\\]+$/, '');
  for (const ending of ['.vae.safetensors', '.vae.pt', '.vae.ckpt']) {
    const beside = stem === path ? undefined : await existing(stem + ending);
    if (beside !== undefined && beside !== path) return beside;
  }
  return undefined;
}

/** The weights of a file with the parts that lie in files of their own. */
async function withParts(
  path: string,
  { vae, textEncoder = [] }: Pick<OpenCheckpointOptions, 'vae' | 'textEncoder'>,
): Promise<WeightSource> {
  const opened: WeightSource[] = [];
  const open = async (file: string): Promise<WeightSource> => {
    const source = await openWeightsAt(file);
    opened.push(source);
    return source;
  };
  try {
    const model = await open(path);
    const textEncoders: WeightSource[] = [];
    for (const file of listOf(textEncoder)) textEncoders.push(await open(file));
    return await putTogether(model, { vae: vae === undefined ? undefined : await open(vae), textEncoders });
  } catch (error) {
    await Promise.all(opened.map((source) => source.close()));
    throw error;
  }
}

const listOf = (given: string | readonly string[] | undefined): readonly string[] =>
  given === undefined ? [] : typeof given === 'string' ? [given] : given;

/** Closes the source where opening fails. */
async function openOwned<T>(source: WeightSource, open: (source: WeightSource) => T | Promise<T>): Promise<T> {
  try {
    return await open(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function existing(path: string): Promise<string | undefined> {
  return stat(path).then(
    (status) => (status.isFile() ? path : undefined),
    () => undefined,
  );
}

/** A YAML or JSON file, parsed. Throws `file-not-found`, `file-access`, `file-unsafe` or `config-invalid`. */
export async function readConfigFile(path: string, options?: OpenOptions): Promise<unknown> {
  return parseYaml(await readTextOf('configuration', path, options), path);
}

/** `config.json` of the text encoder that a YAML names, from a folder of that name next to it; names that leave the folder are ignored. */
export async function pretrainedBeside(config: unknown, configPath: string): Promise<Mapping | undefined> {
  const version = textEncoderVersion({ model: modelSection(config, configPath) });
  if (version === undefined || isAbsolute(version)) return undefined;
  const folder = join(dirname(configPath), version);
  if (relative(dirname(configPath), folder).startsWith('..')) return undefined;
  const path = await existing(join(folder, 'config.json'));
  const json = path === undefined ? undefined : await readConfigFile(path, { within: dirname(configPath) });
  return isMapping(json) ? json : undefined;
}

/** What to name instead of a folder: the checkpoints in it. */
async function checkpointsIn(path: string): Promise<string> {
  const names = await readdir(path).catch(() => []);
  const files = names.filter((name) => !isHiddenName(name) && /\.(safetensors|ckpt|gguf)$/i.test(name)).sort();
  if (files.length === 0) return 'Name a file, or the folder that holds it.';
  return `Name one of its files: ${files.slice(0, 8).join(', ')}${files.length > 8 ? `, and ${files.length - 8} more` : ''}.`;
}

function onlyTextEncoder(path: string, { textEncoder }: OpenCheckpointOptions): string | undefined {
  const [only, ...others] = listOf(textEncoder);
  if (others.length === 0) return only;
  throw new StableDiffusionError(
    'invalid-argument',
    `${path} is a diffusers folder, in which one text encoder can be replaced. Convert it to a single file to replace two (sd convert).`,
  );
}

/** Reads configurations of a folder, which may be somebody else's: they lie in it. */
const readerIn =
  (within: string) =>
  (file: string): Promise<unknown> =>
    readConfigFile(file, { within });

async function modelIndexOf(path: string): Promise<string> {
  const index = await existing(join(path, 'model_index.json'));
  if (index !== undefined) return index;
  throw new StableDiffusionError(
    'file-not-found',
    `${path} is a folder without model_index.json, so not a model of diffusers. ${await checkpointsIn(path)}`,
  );
}

async function openDiffusersFolder(path: string, options: OpenCheckpointOptions): Promise<Checkpoint> {
  const index = await modelIndexOf(path);
  if (options.config !== undefined)
    throw new StableDiffusionError(
      'invalid-argument',
      `${path} is a diffusers folder, which has its own configurations; open it without ${options.config}.`,
    );
  if (options.ema)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${path} is a diffusers folder, which has no separate averaged weights. Load it without --ema.`,
    );
  const read = readerIn(path);
  const modelIndex = await read(index);
  const listed = (name: string) =>
    isMapping(modelIndex) && Array.isArray(modelIndex[name]) && modelIndex[name].some((part: unknown) => part !== null);
  // Pipelines of pixels (DDPMPipeline, DDIMPipeline) list a UNet and a scheduler only.
  const hasStage = listed('vae') || listed('vqvae') || options.vae !== undefined || !listed('scheduler');
  const ownText = onlyTextEncoder(path, options);
  const textFolder = await textEncoderFolder(path, modelIndex, listed);
  const opened: WeightSource[] = [];
  const component = async (name: string): Promise<DiffusersComponent> => {
    const config = await existing(join(path, name, 'config.json'));
    const source = await openWeightsAt(
      join(path, name),
      options.variant === undefined ? {} : { variant: options.variant },
    );
    opened.push(source);
    return { source, ...(config === undefined ? {} : { config: await read(config) }) };
  };
  const ifThere = async (name: string) =>
    listed(name) && (await hasFolder(join(path, name))) ? { [name]: await component(name) } : {};
  const separate = async (
    unet: DiffusersComponent,
    file: string | undefined,
    part: 'first_stage' | 'cond_stage',
    name: string,
  ): Promise<DiffusersComponent> => {
    if (file === undefined) return component(name);
    const source = await openWeightsAt(file);
    opened.push(source);
    if (part === 'first_stage') refuseAutoencoder(source, unet.source);
    return { source: (await partNetwork(source, part)).source };
  };
  try {
    const scheduler = await schedulerFile(path, 'scheduler');
    const imageScheduler =
      (await schedulerFile(path, 'low_res_scheduler')) ?? (await schedulerFile(path, 'image_noising_scheduler'));
    const unet = await component('unet');
    return diffusersCheckpoint({
      label: path,
      unet,
      vae: hasStage ? await separate(unet, options.vae, 'first_stage', listed('vqvae') ? 'vqvae' : 'vae') : undefined,
      ...(ownText !== undefined
        ? { text_encoder: await separate(unet, ownText, 'cond_stage', 'text_encoder') }
        : textFolder === undefined
          ? {}
          : { text_encoder: await component(textFolder) }),
      ...(listed('text_encoder_2') ? { text_encoder_2: await component('text_encoder_2') } : {}),
      ...(listed('image_encoder') && listed('image_normalizer')
        ? { image_encoder: await component('image_encoder'), image_normalizer: await component('image_normalizer') }
        : {}),
      ...(await ifThere('safety_checker')),
      ...(await ifThere('watermarker')),
      ...(scheduler === undefined ? {} : { scheduler: await read(scheduler) }),
      ...(imageScheduler === undefined ? {} : { image_scheduler: await read(imageScheduler) }),
      model_index: modelIndex,
    });
  } catch (error) {
    await Promise.all(opened.map((source) => source.close()));
    throw error;
  }
}

const schedulerFile = (path: string, name: string): Promise<string | undefined> =>
  existing(join(path, name, 'scheduler_config.json'));

/** The folder of a model's first text encoder: `bert` in LDM's text-to-image models. */
async function textEncoderFolder(
  path: string,
  index: unknown,
  listed: (name: string) => boolean,
): Promise<string | undefined> {
  if (listed('text_encoder') && (await isNeeded(index, join(path, 'text_encoder')))) return 'text_encoder';
  return listed('bert') ? 'bert' : undefined;
}

/** DeepFloyd IF's later stages list a text encoder that may be left out: the first stage encodes the text. */
async function isNeeded(index: unknown, folder: string): Promise<boolean> {
  const name = isMapping(index) ? String(index['_class_name']) : '';
  return !/^IF.*SuperResolutionPipeline$/.test(name) || hasFolder(folder);
}

async function hasFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (status) => status.isDirectory(),
    () => false,
  );
}
