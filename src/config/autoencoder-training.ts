/**
 * The training of an autoencoder as LDM's YAML describes it (`configs/autoencoder/*.yaml`): the network, its `lossconfig`, learning rate and
 * schedule. Names and defaults of the losses are those of `LPIPSWithDiscriminator` and `VQLPIPSWithDiscriminator`.
 */

import * as z from 'zod';
import { modelSection } from './ldm-config.ts';
import { className, ldmNetwork } from './ldm-network.ts';
import { type AutoencoderConfig, type DiscriminatorConfig, discriminatorConfigSchema } from './network-config.ts';
import { configError, isMapping, type Mapping, mapping, validated } from './validate.ts';

/** What of an autoencoder is trained. */
export const trainedParts = ['all', 'decoder'] as const;
export type TrainedPart = (typeof trainedParts)[number];

const weight = z.number().nonnegative();

const adversarial = {
  /** First step at which the adversarial losses count. */
  disc_start: z.int().nonnegative(),
  disc_num_layers: z.int().positive().max(16).default(3),
  disc_in_channels: z.int().positive().default(3),
  disc_ndf: z.int().positive().default(64),
  disc_factor: weight.default(1),
  disc_weight: weight.default(1),
  disc_loss: z.enum(['hinge', 'vanilla']).default('hinge'),
  use_actnorm: z.boolean().default(false),
  perceptual_weight: weight.default(1),
};

/** `ldm.modules.losses.contperceptual.LPIPSWithDiscriminator`, for AutoencoderKL. */
const klLossSchema = z.strictObject({
  kind: z.literal('lpips_discriminator'),
  ...adversarial,
  logvar_init: z.number().default(0),
  kl_weight: weight.default(1),
});

/** `VQLPIPSWithDiscriminator` of `ldm.modules.losses.vqperceptual` or of taming, for VQModel. */
const vqLossSchema = z.strictObject({
  kind: z.literal('vq_lpips_discriminator'),
  ...adversarial,
  codebook_weight: weight.default(1),
  pixel_loss: z.enum(['l1', 'l2']).default('l1'),
  /** Size of the codebook, for its measured use; null: the network's. */
  n_classes: z.int().positive().nullable().default(null),
});

/** A light loss for small machines, of no network: L1 on images of halving size, of their gradients, and of their colour. */
const multiscaleLossSchema = z.strictObject({
  kind: z.literal('multiscale'),
  scales: z.int().min(1).max(6).default(3),
  gradient_weight: weight.default(1),
  chroma_weight: weight.default(1),
  kl_weight: weight.default(1e-6),
  codebook_weight: weight.default(1),
});

export type KlLossConfig = Readonly<z.output<typeof klLossSchema>>;
export type VqLossConfig = Readonly<z.output<typeof vqLossSchema>>;
export type MultiscaleLossConfig = Readonly<z.output<typeof multiscaleLossSchema>>;
export type AutoencoderLossConfig = KlLossConfig | VqLossConfig | MultiscaleLossConfig;

export interface AutoencoderTrainingConfig {
  readonly autoencoder: AutoencoderConfig;
  readonly loss: AutoencoderLossConfig;
  /** Learning rate per image; `main.py` multiplies it by the images per update. Null if not set. */
  readonly base_learning_rate: number | null;
  /** Factor on the autoencoder's learning rate, not the discriminator's (VQModel). */
  readonly lr_g_factor: number;
  readonly use_ema: boolean;
  /** The learning-rate schedule, `{ target, params }`, as written. */
  readonly scheduler_config: unknown;
  /** Batches whose gradients are averaged into one update (`lightning.trainer`). */
  readonly accumulate_grad_batches: number;
  readonly monitor: string | null;
  readonly image_key: string;
  /** Sizes between which each batch is resized (VQModel); null: as it comes. */
  readonly batch_resize_range: readonly [number, number] | null;
  /** File of initial weights. */
  readonly ckpt_path: string | null;
}

/** The patch discriminator that a loss trains, or undefined where it has none or one that never counts. */
export function discriminatorOf(loss: AutoencoderLossConfig): DiscriminatorConfig | undefined {
  if (loss.kind === 'multiscale' || loss.disc_factor === 0) return undefined;
  return discriminatorConfigSchema.parse({
    kind: 'discriminator',
    input_nc: loss.disc_in_channels,
    ndf: loss.disc_ndf,
    n_layers: loss.disc_num_layers,
    use_actnorm: loss.use_actnorm,
  });
}

/** Whether a loss needs the weights of LPIPS. */
export function needsPerceptual(loss: AutoencoderLossConfig): boolean {
  return loss.kind !== 'multiscale' && loss.perceptual_weight > 0;
}

/** Parameters that the original takes and does not use, or uses in one way only. */
function trimmed(params: Mapping, what: string): Mapping {
  const { pixelloss_weight: _, disc_conditional, perceptual_loss, ...rest } = params;
  if (disc_conditional === true)
    throw configError(`${what}: disc_conditional is not supported, because no autoencoder gives its loss a condition.`);
  if (perceptual_loss !== undefined && perceptual_loss !== 'lpips')
    throw configError(`${what}: perceptual_loss ${JSON.stringify(perceptual_loss)} is not supported; lpips is.`);
  return rest;
}

/** A `lossconfig`. Throws `config-invalid`. */
export function autoencoderLoss(value: unknown, what = 'lossconfig'): AutoencoderLossConfig {
  const { target, params } = mapping(value, what);
  const given = params === undefined || params === null ? {} : mapping(params, `params of ${what}`);
  const name = className(target, what);
  switch (name) {
    case 'LPIPSWithDiscriminator':
      return validated(klLossSchema, { kind: 'lpips_discriminator', ...trimmed(given, what) }, what);
    case 'VQLPIPSWithDiscriminator':
      return validated(vqLossSchema, { kind: 'vq_lpips_discriminator', ...trimmed(given, what) }, what);
    case 'MultiscaleReconstruction':
      return validated(multiscaleLossSchema, { kind: 'multiscale', ...given }, what);
    default:
      throw configError(
        `${what}: the loss ${String(target)} is not one we can train with. Known are LPIPSWithDiscriminator, VQLPIPSWithDiscriminator and MultiscaleReconstruction.`,
        { target },
      );
  }
}

const optionsSchema = z.object({
  lr_g_factor: z.number().positive().default(1),
  use_ema: z.boolean().default(false),
  monitor: z.string().nullable().default(null),
  image_key: z.string().default('image'),
  batch_resize_range: z.tuple([z.int().positive(), z.int().positive()]).readonly().nullable().default(null),
  ckpt_path: z.string().nullable().default(null),
});

/**
 * The whole YAML, parsed: `model.target` AutoencoderKL or VQModel with a `lossconfig`.
 * @throws `config-invalid`, also for the `torch.nn.Identity` that replaces the loss in configurations for inference
 */
export function autoencoderTraining(document: unknown, what: string): AutoencoderTrainingConfig {
  const section = modelSection(document, what);
  const params = mapping(section['params'], `params of ${what}`);
  const autoencoder = ldmNetwork(section, what);
  if (autoencoder.kind !== 'kl' && autoencoder.kind !== 'vq')
    throw configError(
      `${what}: an autoencoder (AutoencoderKL or VQModel) was expected, and this is a network of kind ${autoencoder.kind}.`,
    );
  const loss = autoencoderLoss(params['lossconfig'], `lossconfig of ${what}`);
  if (loss.kind !== 'multiscale' && (loss.kind === 'lpips_discriminator') !== (autoencoder.kind === 'kl')) {
    throw configError(
      `${what}: ${autoencoder.kind === 'kl' ? 'AutoencoderKL trains with LPIPSWithDiscriminator' : 'VQModel trains with VQLPIPSWithDiscriminator'}, not the other's loss.`,
    );
  }
  const { base_learning_rate: rate } = section;
  const trainer = ['lightning', 'trainer'].reduce<unknown>(
    (inside, name) => (isMapping(inside) ? inside[name] : undefined),
    document,
  );
  const accumulate = isMapping(trainer) ? (trainer['accumulate_grad_batches'] ?? 1) : 1;
  return {
    autoencoder,
    loss,
    base_learning_rate: typeof rate === 'number' ? rate : null,
    ...validated(
      optionsSchema,
      Object.fromEntries(Object.entries(params).filter(([name]) => Object.hasOwn(optionsSchema.shape, name))),
      what,
    ),
    scheduler_config: params['scheduler_config'] ?? null,
    accumulate_grad_batches: validated(z.int().positive(), accumulate, `accumulate_grad_batches of ${what}`),
  };
}
