/** The configuration of an adapter's training: `model.target` Lora, DreamBooth or TextualInversion, with these `model.params`. */

import * as z from 'zod';
import { className } from '../../config/ldm-network.ts';
import { type Mapping, validated } from '../../config/validate.ts';
import { type LoraSettings, loraTargetGroups } from './lora-targets.ts';

const count = z.int().positive();

const common = {
  /** The model: a file, optionally with a YAML of the same name, or a diffusers folder. */
  ckpt_path: z.string(),
  clip_skip: count.default(1),
  /** Prompt of every picture, replacing its caption: "a photo of sks dog". */
  instance_prompt: z.string().optional(),
  /** Share of prompts that become empty. */
  condition_dropout: z.number().min(0).max(1).default(0),
};

/** Control networks: how the maps are made, and what the file is. */
const control = {
  ckpt_path: common.ckpt_path,
  clip_skip: common.clip_skip,
  condition_dropout: common.condition_dropout,
  /** A ControlNet or T2I-Adapter to train further. */
  control_path: z.string().optional(),
  /** Draws the maps of pictures that have none: `canny` and its kind (`sd preprocess --list`). */
  annotator: z.string().optional(),
  /** The preprocessor's network, for those that need one. */
  annotator_path: z.string().optional(),
  /** Settings of the preprocessor. */
  annotator_resolution: z.int().min(64).max(4096).optional(),
  threshold_a: z.number().optional(),
  threshold_b: z.number().optional(),
  /** Channels of the map. */
  hint_channels: z.union([z.literal(1), z.literal(3)]).default(3),
  dtype: z.enum(['float32', 'float16']).default('float32'),
};

/** DreamBooth's pictures of the class, which the model is not to forget. */
const priorSchema = z.strictObject({
  /** A folder; where it has fewer pictures than `count`, the model makes the others before training begins. */
  data_root: z.string(),
  prompt: z.string(),
  count: count.default(100),
  weight: z.number().nonnegative().default(1),
  /** How they are generated. */
  steps: count.default(30),
  scale: z.number().default(7.5),
  seed: z.int().nonnegative().default(0),
});
export type PriorConfig = z.output<typeof priorSchema>;

const layersSchema = z.strictObject({
  rank: count.optional(),
  alpha: z.number().positive().optional(),
  convolution_rank: count.optional(),
  convolution_alpha: z.number().positive().optional(),
  targets: z
    .array(z.enum(loraTargetGroups as [string, ...string[]]))
    .min(1)
    .optional(),
});

const schemas = {
  Lora: z.strictObject({
    kind: z.literal('Lora'),
    ...common,
    /** Layers of the UNet, and of the text encoder; false trains none there. */
    unet: z.union([layersSchema, z.literal(false)]).default({}),
    text: z.union([layersSchema, z.literal(false)]).default(false),
    text_lr_scale: z.number().positive().default(1),
    dropout: z.number().min(0).max(1).default(0),
    layout: z.enum(['kohya', 'diffusers']).default('kohya'),
    dtype: z.enum(['float32', 'float16', 'bfloat16']).default('float32'),
    prior: priorSchema.optional(),
  }),
  DreamBooth: z.strictObject({
    kind: z.literal('DreamBooth'),
    ...common,
    train_text: z.boolean().default(false),
    text_lr_scale: z.number().positive().default(1),
    prior: priorSchema.optional(),
  }),
  TextualInversion: z.strictObject({
    kind: z.literal('TextualInversion'),
    ...common,
    /** Its word in prompts: `<my-cat>`. */
    token: z.string().min(1),
    /** Words near it in meaning. */
    initializer: z.string().min(1),
    vectors: count.default(1),
    templates: z.union([z.enum(['object', 'style', 'captions']), z.array(z.string()).min(1)]).default('object'),
  }),
  ControlNet: z.strictObject({ kind: z.literal('ControlNet'), ...control }),
  T2IAdapter: z.strictObject({
    kind: z.literal('T2IAdapter'),
    ...control,
    adapter_type: z.enum(['full', 'light']).default('full'),
  }),
} as const;

export type AdapterConfig = z.output<(typeof schemas)[keyof typeof schemas]>;

/** The two that train a network of their own and leave the model as it is. */
export type ControlTrainingConfig = Extract<AdapterConfig, { readonly kind: 'ControlNet' | 'T2IAdapter' }>;

export type AdapterKind = keyof typeof schemas;

/** Throws `config-invalid`, naming what is wrong. */
export function adapterConfig(section: Mapping, what: string): AdapterConfig {
  const kind = className(section['target'], what);
  // The schedule of the learning rate is the loop's.
  const { scheduler_config: _, ...own } = (section['params'] as Mapping | undefined) ?? {};
  const params = { ...own, kind };
  const schema = schemas[kind as AdapterKind];
  return validated(schema, params, what);
}

/** Layers of one network. */
export function loraSettings(layers: z.output<typeof layersSchema>): LoraSettings {
  const { rank, alpha, convolution_rank, convolution_alpha, targets } = layers;
  return {
    rank,
    alpha,
    convolutionRank: convolution_rank,
    convolutionAlpha: convolution_alpha,
    ...(targets === undefined ? {} : { targets: loraTargetGroups.filter((group) => targets.includes(group)) }),
  };
}
