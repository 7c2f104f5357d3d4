/** A folder of models as people have it: a small model of each family side by side, and files that are no model for this program. */

import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compVisWeights } from '../../src/checkpoints/convert-layout.ts';
import { yamlOf } from '../../src/config/ldm-yaml.ts';
import { clipTextConfigSchema } from '../../src/config/network-config.ts';
import { writeNewFile } from '../../src/files/write-file-node.ts';
import { writeGguf } from '../../src/formats/gguf-write.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { reference } from '../reference.ts';
import { readTensors } from '../tensors.ts';
import { layered, refinerTensors } from './tiny-models.ts';

const write = (path: string, source: WeightSource): Promise<unknown> =>
  writeNewFile(
    path,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );

/** CLIP's text encoder with the whole vocabulary, and few other numbers. */
const text = (fields: object) =>
  clipTextConfigSchema.parse({
    kind: 'clip_text',
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 1,
    ...fields,
  });
const openClip = { hidden_act: 'gelu', pad_token_id: 0, bos_token_id: 49406, eos_token_id: 49407, layers_skipped: 1 };
const v2UNet = { use_linear_in_transformer: true, num_head_channels: 16, num_heads: -1, legacy: false };

/** Models of random weights, with their YAML: their sizes are not those that a file is recognised by. */
async function randomModels(folder: string): Promise<void> {
  for (const [name, fields, unet, config] of [
    ['v1', {}, {}, {}],
    ['v1-inpainting', {}, { in_channels: 9 }, { conditioning_key: 'hybrid' }],
    ['instruct-pix2pix', {}, { in_channels: 8 }, { conditioning_key: 'hybrid' }],
    ['v2-base', openClip, v2UNet, {}],
    ['v2-v', openClip, v2UNet, { parameterization: 'v' }],
    ['v2-inpainting', openClip, { ...v2UNet, in_channels: 9 }, { conditioning_key: 'hybrid' }],
  ] as const) {
    const checkpoint = randomCheckpoint(text(fields), 16, { unet, config });
    await write(join(folder, `${name}.safetensors`), compVisWeights(checkpoint));
    writeFileSync(join(folder, `${name}.yaml`), yamlOf(checkpoint.config) ?? '');
    if (name !== 'v2-v') continue;
    await writeNewFile(join(folder, 'v2-quantised.gguf'), writeGguf(compVisWeights(checkpoint), { dtype: 'q8_0' }));
    writeFileSync(join(folder, 'v2-quantised.yaml'), yamlOf(checkpoint.config) ?? '');
  }
}

/** The recorded small models, with their YAML. */
async function recordedModels(folder: string): Promise<void> {
  const root = join(reference('families/models'), '..');
  const at = (path: string): string => join(root, 'models', path);
  const v2 = (name: string): ReadonlyMap<string, Tensor> =>
    layered(root, ['models/sd2/sd2.safetensors', `models/${name}/unet.safetensors`]);
  for (const [name, yaml, tensors] of [
    ['depth', 'depth/model.yaml', v2('depth')],
    ['x4-upscaler', 'x4/model.yaml', v2('x4')],
    ['unclip', 'unclip/model.yaml', new Map([...v2('unclip'), ...readTensors(at('unclip/embedder.safetensors'))])],
    ['xl-base', 'sdxl/sdxl.yaml', readTensors(at('sdxl/sdxl.safetensors'))],
    ['xl-refiner', 'refiner/model.yaml', refinerTensors(root)],
  ] as const) {
    await write(join(folder, `${name}.safetensors`), memoryWeights(tensors, name));
    copyFileSync(at(yaml), join(folder, `${name}.yaml`));
  }
}

/** Files that this program cannot make pictures with, by names that tell what they are. */
async function otherFiles(folder: string): Promise<void> {
  for (const [name, tensor] of [
    ['sd3', 'model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight'],
    ['flux', 'double_blocks.0.img_attn.qkv.weight'],
  ] as const) {
    const names = name === 'flux' ? [tensor, 'single_blocks.0.linear1.weight'] : [tensor];
    const tensors = new Map(names.map((one) => [one, float32([1, 1], [0])]));
    await write(join(folder, `${name}.safetensors`), memoryWeights(tensors, name));
  }
}

/** Fills an empty folder. */
export async function familyFolder(folder: string): Promise<void> {
  await randomModels(folder);
  await recordedModels(folder);
  await otherFiles(folder);
}
