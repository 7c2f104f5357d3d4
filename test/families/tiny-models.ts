/** The small models of the families set, made of their parts as models.json says. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { schedulerParams } from '../../src/config/diffusers-scheduler.ts';
import { imageStatisticsPart } from '../../src/checkpoints/infer/image-condition.ts';
import { tokenizersOf } from '../../src/conditioning/conditioners.ts';
import type { LatentDiffusionConfig } from '../../src/config/latent-diffusion-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { Engine } from '../../src/engine/engine.ts';
import { Model } from '../../src/model/model.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import type { ClipTokenizerFiles } from '../../src/tokenizer/clip-tokenizer-files.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { readTensors } from '../tensors.ts';

/** Tensors of one file, and over them those of the others. */
export function layered(folder: string, files: readonly string[]): ReadonlyMap<string, Tensor> {
  return new Map(files.flatMap((file) => [...readTensors(join(folder, file))]));
}

/** The tensors under a prefix, without it. */
export function under(tensors: ReadonlyMap<string, Tensor>, prefix: string): ReadonlyMap<string, Tensor> {
  return new Map(
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
}

/** A refiner's file: the second encoder of SDXL as its first. */
export function refinerTensors(folder: string): ReadonlyMap<string, Tensor> {
  const base = readTensors(join(folder, 'models/sdxl/sdxl.safetensors'));
  const rest = [...base].flatMap(([name, value]) =>
    name.startsWith('conditioner.embedders.1.')
      ? [[name.replace('embedders.1', 'embedders.0'), value] as const]
      : name.startsWith('first_stage_model.')
        ? [[name, value] as const]
        : [],
  );
  return new Map([...rest, ...readTensors(join(folder, 'models/refiner/unet.safetensors'))]);
}

function clipFiles(folder: string): ClipTokenizerFiles {
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8');
  return { merges: text('merges.txt'), vocab: text('vocab.json'), config: text('tokenizer_config.json') };
}

/** The configuration that an index row's `model` names: a family, perhaps with its YAML. */
export function familyYaml(model: string): string {
  const [family = '', file] = /^(\w+)(?: \((.*\.yaml)\))?/.exec(model)?.slice(1) ?? [];
  return `models/${family}/${file ?? (family === 'sd2' ? 'sd2-v.yaml' : family === 'sdxl' ? 'sdxl.yaml' : 'model.yaml')}`;
}

/** The model of a configuration, such as `models/sd2/sd2-v.yaml`. `changes` are made to the parsed configuration. */
export async function familyModel(
  folder: string,
  yaml: string,
  engine: Engine,
  /** `scheduler_config.json`, as of a diffusers folder. */
  scheduler?: Readonly<Record<string, unknown>>,
  /** Further fields of the configuration. */
  more: Partial<LatentDiffusionConfig> = {},
): Promise<Model> {
  const family = yaml.split('/')[1] ?? '';
  const tensors =
    family === 'refiner'
      ? refinerTensors(folder)
      : family === 'sdxl'
        ? readTensors(join(folder, 'models/sdxl/sdxl.safetensors'))
        : layered(
            folder,
            ['models/sd2/sd2.safetensors', `models/${family}/unet.safetensors`].filter((file) =>
              existsSync(join(folder, file)),
            ),
          );
  const opened: Checkpoint = await openCheckpoint(memoryWeights(tensors, family), {
    config: parseYaml(readFileSync(join(folder, yaml), 'utf8'), yaml),
    pretrained(version) {
      const path = join(folder, version, 'config.json');
      return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
    },
  });
  const statistics = join(folder, `models/${family}/stats.safetensors`);
  const parts = existsSync(statistics)
    ? { ...opened.parts, [imageStatisticsPart]: memoryWeights(readTensors(statistics), 'statistics') }
    : opened.parts;
  const checkpoint: Checkpoint = scheduler
    ? {
        ...opened,
        parts,
        scheduler,
        config: { ...opened.config, ...more, ...schedulerParams(scheduler, 'the scheduler') },
      }
    : { ...opened, parts, config: { ...opened.config, ...more } };
  const [first, second] =
    family === 'sdxl'
      ? ['models/sdxl/diffusers/tokenizer', 'models/sdxl/diffusers/tokenizer_2']
      : [family === 'refiner' ? 'models/sdxl/diffusers/tokenizer_2' : 'models/sd2/diffusers/tokenizer', undefined];
  const clip = {
    cond_stage: clipFiles(join(folder, first)),
    cond_stage_2: second === undefined ? undefined : clipFiles(join(folder, second)),
  };
  return new Model({ engine, checkpoint, tokenizers: await tokenizersOf(checkpoint.config, { clip }) });
}
