/**
 * The configuration of a training run: LDM's YAML (`model`, `data`, `lightning`, as `main.py` of latent-diffusion reads them) and a section
 * `training` for what that format has no word for.
 *
 * Of `data` and `lightning` what has a meaning here is read and the rest passed over, because these name classes of other programs;
 * `training` is ours, and a word in it that is not known is an error.
 */

import { z } from 'zod';
import { isMapping, mapping, type Mapping, validated } from '../config/validate.ts';
import { ldmSchedule, type LearningRateSchedule } from './step/learning-rate.ts';

const count = z.int().positive();
const share = z.number().min(0).max(1);

const filterSchema = z.strictObject({
  minimum_size: count.optional(),
  maximum_aspect: z.number().min(1).optional(),
  minimum_aesthetics: z.number().optional(),
  maximum_watermark: share.optional(),
  maximum_unsafe: share.optional(),
  nsfw: z.array(z.string()).optional(),
  minimum_similarity: z.number().optional(),
  unknown: z.enum(['drop', 'keep']).optional(),
});

/** `data.params.train.params`; names of LDM's data sets where they have one. */
const splitSchema = z.object({
  /** Folder, shards by pattern, Parquet files, or a folder of cached latents. */
  data_root: z.string().optional(),
  size: count.optional(),
  random_crop: z.boolean().default(false),
  flip_p: share.default(0),
  interpolation: z.enum(['nearest', 'bilinear', 'bicubic', 'lanczos']).default('bicubic'),
  /** Colour behind transparent pixels. */
  background: z.tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)]).optional(),
  /** Fields of metadata with the caption and the picture. */
  caption_key: z.string().optional(),
  image_key: z.string().optional(),
  missing_caption: z.string().optional(),
  shuffle_buffer: count.optional(),
  filter: filterSchema.optional(),
  /** Super-resolution: how the small picture is made. */
  degradation: z.enum(['bsrgan_light', 'bsrgan', 'pil_bicubic']).default('bsrgan_light'),
  downscale_f: count.default(4),
});
export type DataSplit = z.output<typeof splitSchema>;

const dataSchema = z.object({ batch_size: count.default(1) });

const trainingSchema = z.strictObject({
  seed: z.int().nonnegative().default(23),
  /** Checkpoint to start from: what it lacks is made anew. */
  init: z.string().optional(),
  /** The rate is base_learning_rate times batch size times accumulation, as `main.py` has it unless told. */
  scale_lr: z.boolean().default(true),
  /** Default: AdamW; Adam of an autoencoder. */
  optimizer: z.enum(['adamw', 'adam', 'sgd']).optional(),
  /** Default: 0.9 and 0.999; 0.5 and 0.9 of an autoencoder. */
  betas: z.tuple([share, share]).optional(),
  epsilon: z.number().positive().default(1e-8),
  weight_decay: z.number().nonnegative().optional(),
  /** Activations of each block are calculated again in the backward pass: less memory, a third more time. */
  checkpointing: z.boolean().default(false),
  /** Autoencoders: the files of LPIPS (taming's `vgg.pth`, with or without the VGG16 of torchvision beside it). */
  lpips: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  /** Autoencoders: before `disc_start` the discriminator runs and counts for nothing, as in LDM, or is left out, which is faster. */
  early_discriminator: z.enum(['run', 'skip']).default('run'),
  ema_decay: share.default(0.9999),
  /** Averages of a trained text encoder too; LDM keeps none. */
  ema_cond_stage: z.boolean().default(false),
  /** `vocab.txt` of models with BERT's text encoder. */
  vocabulary: z.string().optional(),
  noise_offset: z.number().nonnegative().default(0),
  input_perturbation: z.number().nonnegative().default(0),
  min_snr_gamma: z.number().positive().optional(),
  loss_type: z.enum(['l1', 'l2', 'huber']).optional(),
  /** Latents are kept here, made at the start where they are not. */
  latent_cache: z.string().optional(),
  latent_cache_dtype: z.enum(['float32', 'float16']).default('float32'),
  /** Share of inpainting's masks that hide everything. */
  full_mask: share.default(0.25),
  validation_batches: count.default(4),
  keep_best: z.int().nonnegative().default(3),
  log_every: count.default(10),
  sample_prompts: z.array(z.string()).default([]),
  sample_classes: z.array(z.int().nonnegative()).default([]),
  sample_count: count.default(8),
  sample_steps: count.default(25),
  sample_scale: z.number().default(5),
  sample_seed: z.int().nonnegative().default(1),
});
export type TrainingSection = z.output<typeof trainingSchema>;

export interface LoopSettings {
  readonly maxSteps: number;
  readonly accumulate: number;
  readonly batchSize: number;
  readonly clipNorm?: number;
  readonly learningRate: number;
  readonly schedule: LearningRateSchedule;
  readonly checkpointEvery: number;
  readonly sampleEvery: number;
  readonly validateEvery: number;
  readonly logEvery: number;
  /** Metric of the validation that chooses the best checkpoints; the lowest is the best. Default `val/loss`. */
  readonly monitor?: string;
}

export interface TrainingConfig {
  /** `{ target, params, base_learning_rate }`. */
  readonly model: Mapping;
  readonly train: DataSplit;
  readonly validation?: DataSplit;
  readonly loop: LoopSettings;
  readonly training: TrainingSection;
  /** `ucg_training`: by key of the batch, the share of conditions that become `val`. */
  readonly dropout: Readonly<Record<string, { readonly p: number; readonly val: unknown }>>;
}

function inside(value: unknown, ...path: readonly string[]): Mapping {
  const found = path.reduce<unknown>((at, name) => (isMapping(at) ? at[name] : undefined), value);
  return isMapping(found) ? found : {};
}

const dropoutSchema = z.record(z.string(), z.object({ p: share, val: z.unknown() }));

/** Throws `config-invalid`, naming what is wrong. */
export function trainingConfig(document: unknown, what: string): TrainingConfig {
  const top = mapping(document, what);
  const model = mapping(top['model'], `model of ${what}`);
  const params = inside(model, 'params');
  const data = inside(top, 'data', 'params');
  const trainer = inside(top, 'lightning', 'trainer');
  const training = validated(trainingSchema, top['training'] ?? {}, `training of ${what}`);
  const split = (name: string): DataSplit =>
    validated(splitSchema, inside(data, name, 'params'), `data.params.${name} of ${what}`);
  const loopValues = validated(
    z.object({
      max_steps: count.default(100_000),
      accumulate_grad_batches: count.default(1),
      gradient_clip_val: z.number().positive().optional(),
      every_n_train_steps: count.default(500),
      batch_frequency: z.int().nonnegative().default(500),
      val_check_interval: count.optional(),
      base_learning_rate: z.number().positive(),
    }),
    {
      max_steps: trainer['max_steps'],
      accumulate_grad_batches: trainer['accumulate_grad_batches'],
      gradient_clip_val: trainer['gradient_clip_val'],
      every_n_train_steps: inside(top, 'lightning', 'modelcheckpoint', 'params')['every_n_train_steps'],
      batch_frequency: inside(top, 'lightning', 'callbacks', 'image_logger', 'params')['batch_frequency'],
      val_check_interval: trainer['val_check_interval'],
      base_learning_rate: model['base_learning_rate'],
    },
    what,
  );
  const { batch_size } = validated(dataSchema, data, `data.params of ${what}`);
  const accumulate = loopValues.accumulate_grad_batches;
  return {
    model,
    train: split('train'),
    ...(isMapping(data['validation']) ? { validation: split('validation') } : {}),
    dropout: validated(
      dropoutSchema,
      params['ucg_training'] ?? {},
      `ucg_training of ${what}`,
    ) as TrainingConfig['dropout'],
    training,
    loop: {
      maxSteps: loopValues.max_steps,
      accumulate,
      batchSize: batch_size,
      clipNorm: loopValues.gradient_clip_val,
      learningRate: loopValues.base_learning_rate * (training.scale_lr ? accumulate * batch_size : 1),
      schedule: ldmSchedule(params['scheduler_config'] ?? null),
      checkpointEvery: loopValues.every_n_train_steps,
      sampleEvery: loopValues.batch_frequency,
      validateEvery: loopValues.val_check_interval ?? loopValues.every_n_train_steps,
      logEvery: training.log_every,
      ...(typeof params['monitor'] === 'string' ? { monitor: params['monitor'] } : {}),
    },
  };
}
