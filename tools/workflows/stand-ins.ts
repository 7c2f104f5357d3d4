/**
 * Files for any workflow: for every name that it gives a tiny model of the kind and family that the name tells. Recorded models of random weights
 * (`test/workflow/recorded-files.ts`), and further ones made of them.
 */

import type { Checkpoint } from '../../src/checkpoints/checkpoint.ts';
import { imageConditionPart } from '../../src/checkpoints/infer/image-condition.ts';
import { openCheckpoint } from '../../src/checkpoints/checkpoint.ts';
import { imageConditionSchema } from '../../src/config/image-condition.ts';
import { clipVisionConfigSchema, type UNetConfig } from '../../src/config/network-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import type { DenoisingModel } from '../../src/model/extended-denoiser.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { joined, withNames } from '../../src/weights/view.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import type { WorkflowFiles } from '../../src/workflow/context.ts';
import type { FolderKind } from '../../src/workflow/folder-kinds.ts';
import { controlNetConfig, randomGligenWeights } from '../../test/control-models.ts';
import { randomWeights } from '../../test/model/random-model.ts';
import { randomTensors, refinerModel } from '../../test/random-models.ts';
import { recordedFiles } from '../../test/workflow/recorded-files.ts';

/** Families by the names of their checkpoints; the first that fits. */
const families = [
  ['refiner', /refiner/i],
  ['edit-xl', /cosxl.*edit|xl.*edit/i],
  ['sdxl', /xl|playground|turbo/i],
  ['unclip', /unclip/i],
  ['edit', /pix2pix|ip2p/i],
  ['sd1-inpaint', /inpaint/i],
  ['sd2', /v2-[01]|sd2|wd-?1-5|illuminati|768|512-base/i],
  ['sd1', /./],
] as const;
type Family = (typeof families)[number][0];

export const familyOf = (name: string): Family => families.find(([, words]) => words.test(name))?.[0] ?? 'sd1';

/** The tests' refiner with sizes as wide as the real one's. */
const refiner = refinerModel
  .replaceAll('outdim: 16', 'outdim: 256')
  .replace('adm_in_channels: 112', `adm_in_channels: ${32 + 5 * 256}`);

/** Width of the tiny models' pooled texts, and of the pictures that the tiny image encoder sees. */
const pooled = 16;
const imageEncoder = clipVisionConfigSchema.parse({
  kind: 'clip_vision',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  image_size: 64,
  patch_size: 32,
  projection_dim: pooled,
  with_projection: true,
});

/** A UNet with other parameters: those of the new configuration whose shapes its weights do not have are random. */
function otherUNet({ config, parts }: Checkpoint, more: Partial<UNetConfig>): Partial<Checkpoint> {
  const unet = { ...config.unet_config, ...more } as UNetConfig;
  const random = randomWeights(unet);
  const isNew = (name: string): boolean =>
    parts.unet.entries.get(name)?.shape.join() !== random.entries.get(name)?.shape.join();
  const weights = joined(
    [
      withNames(parts.unet, (name) => (isNew(name) ? undefined : name)),
      withNames(random, (name) => (isNew(name) ? name : undefined)),
    ],
    parts.unet.label,
  );
  return { config: { ...config, unet_config: unet }, parts: { ...parts, unet: weights } };
}

export interface StandInNames {
  /** Every name that the workflow gives, by kind. */
  readonly names: ReadonlyMap<FolderKind, ReadonlySet<string>>;
  /** The family of the workflow's models, for files that belong to one. */
  readonly family: Family;
}

/** `set`: the folder of the recorded models. */
export function standInFiles(set: string, { names, family }: StandInNames): WorkflowFiles {
  const recorded = recordedFiles(set);
  const isXl = ['sdxl', 'refiner', 'edit-xl'].includes(family);
  const checkpoint = async (name: string): Promise<Checkpoint> => {
    const own = familyOf(name);
    if (own === 'refiner')
      return openCheckpoint(memoryWeights(randomTensors(refiner), name), {
        config: parseYaml(refiner, name),
      });
    const base = own === 'edit' ? 'sd1' : own === 'edit-xl' ? 'sdxl' : own === 'unclip' ? 'sd2' : own;
    const opened = await recorded.checkpoint('checkpoints', `${base}.safetensors`);
    if (own === 'edit' || own === 'edit-xl') return { ...opened, ...otherUNet(opened, { in_channels: 8 }) };
    if (own !== 'unclip') return opened;
    const made = { ...opened, ...otherUNet(opened, { num_classes: null, adm_in_channels: 2 * pooled }) };
    const condition = { kind: 'image_embedding', width: pooled, network: imageEncoder };
    return {
      ...made,
      config: { ...made.config, image_condition: imageConditionSchema.parse(condition) },
      parts: { ...made.parts, [imageConditionPart]: randomWeights(imageEncoder) },
    };
  };
  const denoising = async (): Promise<DenoisingModel> => {
    const { config, parts, label } = await recorded.checkpoint(
      'checkpoints',
      isXl ? 'sdxl.safetensors' : 'sd1.safetensors',
    );
    const network = { config: config.unet_config, weights: parts.unet };
    return { label, networks: { named: () => network } } as unknown as DenoisingModel;
  };
  const weights = async (kind: FolderKind, name: string): Promise<WeightSource> => {
    if (kind === 'loras') return recorded.weights(kind, isXl ? 'xl-kohya.safetensors' : 'kohya.safetensors');
    if (kind === 'upscale_models') return recorded.weights(kind, 'esrgan-x2.safetensors');
    if (kind === 'embeddings') return recorded.weights(kind, 'tiny-one.safetensors');
    if (kind === 'gligen') return randomGligenWeights(await denoising());
    if (kind === 'controlnet')
      return isXl
        ? withNames(randomWeights(controlNetConfig(await denoising())), (own) => `control_model.${own}`)
        : recorded.weights(kind, 'control.safetensors');
    if (kind === 'hypernetworks') return hypernetwork();
    return recorded.weights(kind, name);
  };
  return {
    ...recorded,
    weights,
    checkpoint: (_, name) => checkpoint(name),
    async network(kind, name) {
      if (kind === 'vae') return recorded.network(kind, 'other-vae.safetensors');
      if (kind === 'text_encoders') return recorded.network(kind, 'clip.safetensors');
      if (kind === 'diffusion_models') return recorded.network(kind, 'unet.safetensors');
      if (kind === 'clip_vision')
        return {
          config: imageEncoder,
          source: randomWeights(imageEncoder),
          layout: 'transformers',
          prefix: '',
          assumed: [],
        };
      return recorded.network(kind, name);
    },
    lists: async () => ({ names: (kind) => [...(names.get(kind) ?? [])], exists: () => true }),
    read: (name) => recorded.read(/mask|alpha/i.test(name) ? 'alpha.png' : 'a.png'),
  };
}

/** A hypernetwork of one hidden layer for the tiny models' contexts. */
function hypernetwork(): WeightSource {
  const random = new TorchGenerator(9);
  const names = ['0', '1'].flatMap((module) =>
    [
      ['0.weight', [32, 16]],
      ['0.bias', [32]],
      ['1.weight', [16, 32]],
      ['1.bias', [16]],
    ].map(([name, shape]) => [`16/${module}/linear.${name}`, random.randn(shape as number[])] as const),
  );
  return memoryWeights(new Map(names), 'hypernetwork.pt');
}
