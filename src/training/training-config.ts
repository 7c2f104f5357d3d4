/**
 * The configuration of a training run: LDM's YAML (`model`, `data`, `lightning`, as `main.py` of latent-diffusion reads them) and a section
 * `training` for settings that LDM's format lacks. `npm run reference` writes the descriptions into docs/reference/training-config.md.
 *
 * Unknown keys of `data` and `lightning` are ignored, because these sections configure classes of other programs. `training` is ours, so
 * an unknown key in it is an error.
 */

import * as z from 'zod';
import { trainedParts } from '../config/autoencoder-training.ts';
import { isMapping, mapping, type Mapping, validated } from '../config/validate.ts';
import { pixelTargets } from './pixels/settings.ts';
import { filterSchema } from './filter-config.ts';
import { imageLogger, imageLogOf, loopSchema } from './loop-config.ts';
import type { ImageLogSettings } from './image-log.ts';
import { degradations } from './degrade/super-resolution-picture.ts';
import { ldmSchedule, type LearningRateSchedule } from './step/learning-rate.ts';

const count = z.int().positive();
const share = z.number().min(0).max(1);

/** `data.params.train.params` and `data.params.validation.params`. Keys that LDM's data sets have keep their names. */
export const splitSchema = z.object({
  data_root: z
    .string()
    .optional()
    .describe(
      'pictures: a folder (`NAME.txt` next to `NAME.png`, or `metadata.jsonl`), shards (`laion/{00000..00099}.tar`, also at `https://` and `s3://`), Parquet files, or a folder of cached latents',
    ),
  size: count.optional().describe("side of the training pictures in pixels (default: the model's native size)"),
  random_crop: z.boolean().default(false).describe('crop at a random place instead of the centre'),
  crop: z
    .enum(['torchvision', 'adm'])
    .default('torchvision')
    .describe(
      'how pictures become squares: resized, then cropped; or as guided-diffusion, halved by boxes first (default for its trainings), with random crops of 80 to 100 % of the shorter side',
    ),
  labels: z
    .enum(['file_name', 'folder'])
    .optional()
    .describe(
      'folders of pictures: the class is what the file name has before its first `_` (the default for guided-diffusion), or the folder that the picture lies in (ImageNet); classes are numbered in the order of their names, and a `class_label` of `metadata.jsonl` goes before them',
    ),
  flip_p: share.default(0).describe('probability of a horizontal flip'),
  interpolation: z
    .enum(['nearest', 'bilinear', 'bicubic', 'lanczos'])
    .default('bicubic')
    .describe('filter used for resizing'),
  background: z
    .tuple([z.int().min(0).max(255), z.int().min(0).max(255), z.int().min(0).max(255)])
    .optional()
    .describe('colour behind transparent pixels (default: drop the alpha channel)'),
  caption_key: z.string().optional().describe('field of the caption in `metadata.jsonl` or Parquet files'),
  image_key: z.string().optional().describe('column of the picture in Parquet files'),
  conditioning_key: z
    .string()
    .optional()
    .describe(
      'control networks: field or column of the map in `metadata.jsonl`, shards or Parquet files (default: `conditioning_image`)',
    ),
  conditioning_root: z
    .string()
    .optional()
    .describe('control networks: folder of the maps, with the names of the pictures in `data_root`'),
  missing_caption: z
    .string()
    .optional()
    .describe('caption of pictures without one (default: an empty caption, with a warning)'),
  shuffle_buffer: count.optional().describe('number of samples in the shuffle buffer of shards'),
  own_shards: z
    .boolean()
    .default(false)
    .describe(
      'several ranks: each reads shards of its own, so that all together read each once in an epoch; the order then depends on the number of ranks',
    ),
  cache: z.string().optional().describe("folder for shards of `https://` and `s3://` (default: in the person's cache)"),
  cache_gb: z.number().positive().optional().describe('most gigabytes of that folder (default: 20)'),
  filter: filterSchema.optional().describe('leaves out items by their metadata; see below'),
  degradation: z.enum(degradations).default('bsrgan_light').describe('super-resolution: how the small picture is made'),
  min_crop_f: share
    .optional()
    .describe(
      'crop a square of a random share of the shorter side, from this one to `max_crop_f`, and resize it by areas (`ImageNetSR`; default: no such crop)',
    ),
  max_crop_f: share.default(1).describe('see `min_crop_f`'),
  downscale_f: count.default(4).describe('super-resolution: the scale factor'),
});
export type DataSplit = z.output<typeof splitSchema>;

const dataSchema = z.object({ batch_size: count.default(1).describe('pictures per step') });

/** The section `training`. */
export const trainingSchema = z.strictObject({
  seed: z.int().nonnegative().default(23).describe('seed of noise, timesteps, captions, crops and dropout'),
  init: z
    .string()
    .optional()
    .describe(
      'checkpoint or diffusers folder to start from (from a `last.safetensors`, its averaged weights); missing parameters are initialised',
    ),
  scale_lr: z
    .boolean()
    .optional()
    .describe(
      "multiply the learning rate by batch size, accumulation and number of ranks, as LDM's `main.py` does (default: true, but for guided-diffusion's trainings)",
    ),
  optimizer: z
    .enum(['adamw', 'adam', 'sgd'])
    .optional()
    .describe('optimiser (default: `adamw`; for autoencoders `adam`)'),
  betas: z
    .tuple([share, share])
    .optional()
    .describe('decay rates of the moments (default: 0.9 and 0.999; for autoencoders 0.5 and 0.9)'),
  epsilon: z.number().positive().default(1e-8).describe("the optimiser's epsilon"),
  weight_decay: z.number().nonnegative().optional().describe('weight decay (default: 0.01 for `adamw`, else 0)'),
  reduce_dtype: z
    .enum(['float32', 'bfloat16'])
    .default('float32')
    .describe('several ranks: how gradients cross the network; `bfloat16` halves the traffic'),
  diloco: z
    .strictObject({
      every: count.describe('steps that each rank trains alone'),
      learning_rate: z.number().positive().default(0.7),
      momentum: z.number().min(0).max(1).default(0.9),
    })
    .optional()
    .describe(
      'several ranks: each trains alone for `every` steps, then all meet in an outer step with `learning_rate` and `momentum` (DiLoCo)',
    ),
  shard_states: z
    .boolean()
    .default(false)
    .describe('several ranks: divide moments and averaged weights over them (ZeRO 1): less memory, the same bits'),
  shard_gradients: z
    .boolean()
    .default(false)
    .describe('several ranks, with `shard_states`: divide the gradients too (ZeRO 2)'),
  backward_parts: count
    .max(64)
    .optional()
    .describe(
      'several ranks: parts of the backward pass; gradients of one are summed while the next runs (default: 1, with `shard_gradients` 8)',
    ),
  sync_batch_norm: z
    .boolean()
    .default(false)
    .describe(
      "several ranks: the discriminator's batch norm and the adversarial weight take their statistics over the whole batch, not over each rank's own",
    ),
  checkpointing: z
    .boolean()
    .default(false)
    .describe('recompute the activations of each block in the backward pass: less memory, a third more time'),
  lpips: z
    .union([z.string(), z.array(z.string()).min(1)])
    .optional()
    .describe("autoencoders: LPIPS weights, taming's complete file, or torchvision's VGG16 and `vgg.pth`"),
  early_discriminator: z
    .enum(['run', 'skip'])
    .default('run')
    .describe('autoencoders: run the discriminator before `disc_start`, as LDM does, or skip it, which is faster'),
  trained_part: z
    .enum(trainedParts)
    .default('all')
    .describe('autoencoders: train all, or the decoder alone, so that latents and their diffusion models stay'),
  ema_decay: share.default(0.9999).describe('decay of the averaged weights (with `model.params.use_ema`)'),
  ema_cond_stage: z.boolean().default(false).describe('average a trained text encoder too'),
  vocabulary: z.string().optional().describe("`vocab.txt` of models with BERT's text encoder"),
  noise_offset: z.number().nonnegative().default(0).describe('strength of a constant added to the noise per channel'),
  input_perturbation: z.number().nonnegative().default(0).describe('strength of extra noise in the input only'),
  min_snr_gamma: z.number().positive().optional().describe('gamma of min-SNR loss weights (default: no weights)'),
  loss_type: z.enum(['l1', 'l2', 'huber']).optional().describe("loss (default: the model's `loss_type`)"),
  latent_cache: z
    .string()
    .optional()
    .describe('folder of cached latents, computed at the start; needs `flip_p` 0 or 0.5 and no random crops'),
  latent_cache_dtype: z.enum(['float32', 'float16']).default('float32').describe('element type of cached latents'),
  full_mask: share.default(0.25).describe('inpainting: share of masks that cover the whole picture'),
  validation_batches: count.default(4).describe('batches per validation'),
  keep_best: z.int().nonnegative().optional().describe('number of best checkpoints to keep (default: 3)'),
  log_every: count.default(10).describe('steps between logged metrics'),
  sample_prompts: z.array(z.string()).default([]).describe('prompts of sample grids (default: captions of the batch)'),
  sample_classes: z.array(z.int().nonnegative()).default([]).describe('classes of sample grids'),
  sample_count: count.default(8).describe('pictures per sample grid'),
  sample_steps: count.default(25).describe('sampling steps of sample grids'),
  sample_scale: z.number().default(5).describe('guidance scale of sample grids'),
  sample_seed: z.int().nonnegative().default(1).describe('seed of sample grids'),
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
  /** Steps between checkpoints that are all kept. */
  readonly keepEvery?: number;
  readonly sampleEvery: number;
  /** Pictures that are logged besides. */
  readonly imageLog?: ImageLogSettings;
  readonly validateEvery: number;
  /** Best checkpoints that are kept. Default 3. */
  readonly keepBest?: number;
  readonly logEvery: number;
  /** Metric of the validation that chooses the best checkpoints; the lowest is the best. Default `val/loss`. */
  readonly monitor?: string;
}

export interface TrainingConfig {
  /** `{ target, params, base_learning_rate }`. */
  readonly model: Mapping;
  readonly train: DataSplit;
  readonly validation?: DataSplit;
  readonly test?: DataSplit;
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

/** `ranks`: processes that train together, each with batches of `batch_size`. Throws `config-invalid`, naming what is wrong. */
export function trainingConfig(document: unknown, what: string, ranks = 1): TrainingConfig {
  const top = mapping(document, what);
  const model = mapping(top['model'], `model of ${what}`);
  const params = inside(model, 'params');
  const data = inside(top, 'data', 'params');
  const trainer = inside(top, 'lightning', 'trainer');
  const training = validated(trainingSchema, top['training'] ?? {}, `training of ${what}`);
  const isAdm = (pixelTargets as readonly string[]).includes(String(model['target']).split('.').at(-1) ?? '');
  const defaults = isAdm ? { crop: 'adm', flip_p: 0.5 } : {};
  const split = (name: string): DataSplit =>
    validated(splitSchema, { ...defaults, ...inside(data, name, 'params') }, `data.params.${name} of ${what}`);
  const loopValues = validated(
    loopSchema,
    {
      max_steps: trainer['max_steps'],
      accumulate_grad_batches: trainer['accumulate_grad_batches'],
      gradient_clip_val: trainer['gradient_clip_val'],
      keep_every: inside(top, 'lightning', 'metrics_over_trainsteps_checkpoint', 'params')['every_n_train_steps'],
      save_top_k: inside(top, 'lightning', 'modelcheckpoint', 'params')['save_top_k'],
      every_n_train_steps: inside(top, 'lightning', 'modelcheckpoint', 'params')['every_n_train_steps'],
      ...imageLogger(inside(top, 'lightning', 'callbacks', 'image_logger', 'params'), what),
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
    ...(isMapping(data['test']) ? { test: split('test') } : {}),
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
      learningRate:
        loopValues.base_learning_rate *
        ((training.scale_lr ?? !isAdm) ? accumulate * batch_size * (training.diloco ? 1 : ranks) : 1),
      schedule: ldmSchedule(params['scheduler_config'] ?? null),
      checkpointEvery: loopValues.every_n_train_steps,
      ...(loopValues.keep_every === undefined && loopValues.save_top_k !== -1
        ? {}
        : { keepEvery: loopValues.keep_every ?? loopValues.every_n_train_steps }),
      keepBest: training.keep_best ?? Math.max(0, loopValues.save_top_k ?? 3),
      ...imageLogOf(loopValues),
      validateEvery: loopValues.val_check_interval ?? loopValues.every_n_train_steps,
      logEvery: training.log_every,
      ...(typeof params['monitor'] === 'string' ? { monitor: params['monitor'] } : {}),
    },
  };
}
