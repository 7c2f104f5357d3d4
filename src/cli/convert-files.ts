/** Writing a model or a network in another layout: one `.safetensors` file, or a diffusers folder, whole or not at all. */

import { dirname, join } from 'node:path';
import {
  autoencoderDocument,
  clipTextDocument,
  featureExtractorDocument,
  lowResolutionDocument,
  type JsonDocument,
  modelIndexDocument,
  safetyCheckerDocument,
  schedulerDocument,
  sizesWidthOf,
  unetDocument,
} from '../config/diffusers-documents.ts';
import { yamlOf } from '../config/ldm-yaml.ts';
import { type NetworkConfig, ldmUNet } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import { nativeLatentSize } from '../model/native-size.ts';
import { makeFolder } from '../files/make-folder-node.ts';
import { openRegular } from '../files/open-node.ts';
import { writeNewFolder } from '../files/write-folder-node.ts';
import { type Checkpoint, configKey } from '../checkpoints/checkpoint.ts';
import { withDType } from '../weights/convert-dtype.ts';
import { withInt8 } from '../weights/int8-file.ts';
import { compVisWeights, diffusersWeights, textComponents } from '../checkpoints/convert-layout.ts';
import { autoencoderMap } from '../checkpoints/layouts/autoencoder.ts';
import { clipTextMap } from '../checkpoints/layouts/clip-text.ts';
import { ifUNetMap } from '../checkpoints/layouts/if-unet.ts';
import { unetMap } from '../checkpoints/layouts/unet.ts';
import { renamed } from '../checkpoints/rename.ts';
import { type GgufType, writeGguf } from '../formats/gguf-write.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { checkFree, writeNewFile, writeNewText } from '../files/write-file-node.ts';
import { writeTokenizer } from './copy-tokenizer.ts';

export interface WriteOptions {
  /** Undefined keeps each tensor's own. */
  readonly dtype: GgufType | 'int8' | undefined;
  /** Of a GGUF file with a UNet alone. */
  readonly architecture?: 'sd1' | 'sdxl' | undefined;
  readonly signal: AbortSignal;
  /** `--force`: files that exist may be replaced. */
  readonly replace: boolean;
  /** Called after each tensor. */
  readonly onTensor: (done: number, total: number) => void;
}

/** One `.safetensors` file, or a GGUF file where the name says so. Throws `invalid-argument` for a quantised type in `.safetensors`. */
export async function writeWeights(
  path: string,
  source: WeightSource,
  options: WriteOptions,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { dtype, signal, replace, onTensor } = options;
  if (path.endsWith('.gguf')) {
    if (dtype === 'int8')
      throw new StableDiffusionError(
        'invalid-argument',
        'int8 is a type of .safetensors files. For a .gguf file choose q8_0.',
      );
    await writeNewFile(path, writeGguf(source, { ...options, dtype }), { signal, replace });
    return;
  }
  if (dtype !== undefined && dtype !== 'int8' && dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16')
    throw new StableDiffusionError(
      'invalid-argument',
      `${dtype} is a type of GGUF files: name an output that ends in .gguf.`,
    );
  const view = dtype === 'int8' ? withInt8(source) : dtype ? withDType(source, dtype) : source;
  let done = 0;
  const chunks = writeSafetensors(
    view.entries.values(),
    ({ name }) => {
      onTensor(done++, view.entries.size);
      return view.read(name, signal);
    },
    { metadata: { format: 'pt', ...metadata }, signal },
  );
  await writeNewFile(path, chunks, { signal, replace });
}

/** Writes a CompVis file and the YAML of the same name: `yaml` unchanged, else generated from the configuration. */
export async function writeCompVis(
  path: string,
  checkpoint: Checkpoint,
  yaml: string | undefined,
  options: WriteOptions,
): Promise<readonly string[]> {
  const beside = path.replace(/\.[^./\\]+$/, '.yaml');
  const text = yaml ?? yamlOf(checkpoint.config);
  const metadata = text === undefined ? undefined : { [configKey]: text };
  const hasYaml = beside !== path && text !== undefined;
  if (hasYaml) await checkFree(beside, options.replace);
  await writeWeights(path, compVisWeights(checkpoint), options, metadata);
  if (!hasYaml) return [path];
  await writeNewText(beside, text, { replace: options.replace });
  return [path, beside];
}

/** One network's weights with diffusers' or transformers' names. Throws `config-invalid` if it has none. */
export function diffusersNetwork(source: WeightSource, config: NetworkConfig): WeightSource {
  switch (config.kind) {
    case 'unet':
      return renamed(source, unetMap(config), 'a-to-b');
    case 'kl':
    case 'vq':
      return renamed(source, autoencoderMap(config), 'a-to-b');
    case 'clip_text':
      return renamed(source, clipTextMap(config), 'a-to-b');
    case 'if_unet':
      return renamed(source, ifUNetMap(config), 'a-to-b');
    case 'clip_vision':
    case 'safety_checker':
    case 'if_safety_checker':
    case 't5_encoder':
    case 'taesd':
      return source;
    default:
      throw new StableDiffusionError('config-invalid', `A network of kind ${config.kind} has no layout in diffusers.`);
  }
}

/** `config.json` of one network. */
export function networkDocument(config: NetworkConfig): JsonDocument | undefined {
  if (config.kind === 'unet')
    return unetDocument(config, typeof config.image_size === 'number' ? config.image_size : 64);
  if (config.kind === 'kl' || config.kind === 'vq')
    return autoencoderDocument(config, config.ddconfig.resolution, config.kind === 'kl' ? 0.18215 : 1);
  return config.kind === 'clip_text' ? clipTextDocument(config) : undefined;
}

/**
 * A diffusers folder. `from` is a diffusers folder whose tokenizer and scheduler are taken over. Gives the files
 * of `from` that were not taken over. Throws `file-exists` where `path` is not empty.
 */
export async function writeDiffusersFolder(
  path: string,
  checkpoint: Checkpoint,
  from: string | undefined,
  options: WriteOptions,
): Promise<readonly string[]> {
  const leftOut: string[] = [];
  await writeNewFolder(
    path,
    async (folder) => {
      const weights = diffusersWeights(checkpoint);
      const { config, safety_config } = checkpoint;
      const safety = safety_config?.kind === 'safety_checker' ? safety_config : undefined;
      const { first_stage_config: stage } = config;
      const texts = textComponents(config);
      if (stage.kind === 'identity' || texts.length === 0) {
        throw new StableDiffusionError(
          'config-invalid',
          'A diffusers folder of Stable Diffusion has an autoencoder and a CLIP text encoder, and this model has not.',
        );
      }
      const side = nativeLatentSize(config);
      const factor = 2 ** (stage.ddconfig.ch_mult.length - 1);
      const total = Object.values(weights).reduce((sum, source: WeightSource) => sum + source.entries.size, 0);
      let done = 0;
      const part = async (name: string, file: string, source: WeightSource, document: JsonDocument): Promise<void> => {
        await json(join(folder, name, 'config.json'), document);
        await writeWeights(join(folder, name, file), source, {
          ...options,
          onTensor: () => options.onTensor(done++, total),
        });
      };
      await part(
        'unet',
        'diffusion_pytorch_model.safetensors',
        weights.unet,
        unetDocument(ldmUNet(config.unet_config), side, sizesWidthOf(config)),
      );
      await part(
        'vae',
        'diffusion_pytorch_model.safetensors',
        weights.vae,
        autoencoderDocument(stage, side * factor, config.scale_factor),
      );
      for (const { name, config: text } of texts) {
        const source = weights[name];
        if (!source) continue;
        await part(name, 'model.safetensors', source, clipTextDocument(text));
        const tokenizer = name.replace('text_encoder', 'tokenizer');
        const own = {
          rows: text.vocab_size,
          length: config.cond_stage_max_length,
          padsWithZero: text.pad_token_id === 0,
        };
        leftOut.push(...(await writeTokenizer(join(folder, tokenizer), from && join(from, tokenizer), own)));
      }
      if (weights.safety_checker && safety) {
        await part('safety_checker', 'model.safetensors', weights.safety_checker, safetyCheckerDocument(safety));
        await json(
          join(folder, 'feature_extractor', 'preprocessor_config.json'),
          featureExtractorDocument(safety.vision_config.image_size),
        );
      }
      // Copied as it is: behind a link out of the model it may be anything.
      const given = from && join(from, 'scheduler', 'scheduler_config.json');
      if (given && checkpoint.scheduler) await (await openRegular(given, { within: from })).handle.close();
      await json(join(folder, 'scheduler', 'scheduler_config.json'), checkpoint.scheduler ?? schedulerDocument(config));
      const lowResolution = lowResolutionDocument(config);
      if (lowResolution) await json(join(folder, 'low_res_scheduler', 'scheduler_config.json'), lowResolution);
      const scheduler = checkpoint.scheduler?.['_class_name'];
      await json(join(folder, 'model_index.json'), {
        ...modelIndexDocument(config, weights.safety_checker !== undefined),
        ...(typeof scheduler === 'string' ? { scheduler: ['diffusers', scheduler] } : {}),
      });
    },
    { last: 'model_index.json' },
  );
  return leftOut;
}

async function json(path: string, document: JsonDocument): Promise<void> {
  await makeFolder(dirname(path));
  await writeNewText(path, `${JSON.stringify(document, null, 2)}\n`);
}
