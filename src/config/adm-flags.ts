/**
 * The flags of guided-diffusion's scripts (`script_util.py`), which its checkpoints do not hold: from them to the networks' configurations
 * and to the diffusion process. Their README lists them for every published file.
 */

import * as z from 'zod';
import {
  type EncoderUNetConfig,
  encoderUNetConfigSchema,
  type UNetConfig,
  unetConfigSchema,
} from './network-config.ts';
import { configError, validated } from './validate.ts';

const size = z.int().positive();

const flagsSchema = z.looseObject({
  image_size: size.default(64),
  /** Upsamplers: the sides of their output and of what they enlarge. */
  large_size: size.optional(),
  small_size: size.optional(),
  num_channels: size.default(128),
  num_res_blocks: size.default(2),
  num_heads: size.default(4),
  num_heads_upsample: z.int().default(-1),
  num_head_channels: z.int().default(-1),
  /** Sides of the picture at which blocks have attention. */
  attention_resolutions: z.string().default('16,8'),
  channel_mult: z.string().default(''),
  dropout: z.number().min(0).max(1).default(0),
  class_cond: z.boolean().default(false),
  num_classes: size.default(1000),
  use_scale_shift_norm: z.boolean().default(true),
  resblock_updown: z.boolean().default(false),
  use_new_attention_order: z.boolean().default(false),
  learn_sigma: z.boolean().default(false),
  sigma_small: z.boolean().default(false),
  diffusion_steps: size.default(1000),
  noise_schedule: z.enum(['linear', 'cosine']).default('linear'),
  timestep_respacing: z.string().default(''),
  use_kl: z.boolean().default(false),
  predict_xstart: z.boolean().default(false),
  rescale_timesteps: z.boolean().default(false),
  rescale_learned_sigmas: z.boolean().default(false),
  /** For sides that guided-diffusion does not know; it has no such flag. */
  classifier_channel_mult: z.string().default(''),
  classifier_width: size.default(128),
  classifier_depth: size.default(2),
  classifier_attention_resolutions: z.string().default('32,16,8'),
  classifier_use_scale_shift_norm: z.boolean().default(true),
  classifier_resblock_updown: z.boolean().default(true),
  classifier_pool: z.enum(['adaptive', 'attention', 'spatial', 'spatial_v2']).default('attention'),
});
export type AdmFlags = Readonly<z.output<typeof flagsSchema>>;

/** Names of all flags. */
export const admFlagNames: readonly string[] = Object.keys(flagsSchema.shape);

/** Throws `config-invalid`. */
export const admFlags = (given: unknown): AdmFlags => validated(flagsSchema, given, "guided-diffusion's flags");

/** Widths of the levels by the side of the picture. */
const multiples: Readonly<Record<number, readonly number[]>> = {
  512: [0.5, 1, 1, 2, 2, 4, 4],
  256: [1, 1, 2, 2, 4, 4],
  128: [1, 1, 2, 3, 4],
  64: [1, 2, 3, 4],
};
const upsamplerMultiples: Readonly<Record<number, readonly number[]>> = {
  512: [1, 1, 2, 2, 4, 4],
  256: [1, 1, 2, 2, 4, 4],
  64: [1, 2, 3, 4],
};

function multiplesOf(given: string, side: number, known: typeof multiples, flag = 'channel_mult'): readonly number[] {
  if (given !== '') return given.split(',').map(Number);
  const found = known[side];
  if (!found)
    throw configError(
      `No default ${flag} is known for ${side} pixels (only for ${Object.keys(known).join(', ')}). Give ${flag}, such as 1,2,3,4.`,
    );
  return found;
}

const factors = (sides: string, side: number): number[] => sides.split(',').map((at) => Math.floor(side / Number(at)));

/** The UNet of a model or, with `large_size`, of an upsampler, whose input has the enlarged small picture behind x. */
export function admUNet(flags: AdmFlags): UNetConfig {
  const side = flags.large_size ?? flags.image_size;
  const isUpsampler = flags.large_size !== undefined;
  return validated(
    unetConfigSchema,
    {
      kind: 'unet',
      image_size: side,
      in_channels: isUpsampler ? 6 : 3,
      model_channels: flags.num_channels,
      out_channels: flags.learn_sigma ? 6 : 3,
      num_res_blocks: flags.num_res_blocks,
      attention_resolutions: factors(flags.attention_resolutions, side),
      dropout: flags.dropout,
      channel_mult: isUpsampler
        ? multiplesOf(upsamplerMultiples[side] ? '' : flags.channel_mult, side, upsamplerMultiples)
        : multiplesOf(flags.channel_mult, side, multiples),
      num_classes: flags.class_cond ? flags.num_classes : null,
      num_heads: flags.num_heads,
      num_head_channels: flags.num_head_channels,
      num_heads_upsample: flags.num_heads_upsample,
      use_scale_shift_norm: flags.use_scale_shift_norm,
      resblock_updown: flags.resblock_updown,
      use_new_attention_order: flags.use_new_attention_order,
    },
    "the UNet of guided-diffusion's flags",
  );
}

/** The classifier of noisy pictures. */
export function admClassifier(flags: AdmFlags): EncoderUNetConfig {
  return validated(
    encoderUNetConfigSchema,
    {
      kind: 'encoder_unet',
      image_size: flags.image_size,
      in_channels: 3,
      model_channels: flags.classifier_width,
      out_channels: flags.num_classes,
      num_res_blocks: flags.classifier_depth,
      attention_resolutions: factors(flags.classifier_attention_resolutions, flags.image_size),
      channel_mult: multiplesOf(flags.classifier_channel_mult, flags.image_size, multiples, 'classifier_channel_mult'),
      num_head_channels: 64,
      use_scale_shift_norm: flags.classifier_use_scale_shift_norm,
      resblock_updown: flags.classifier_resblock_updown,
      pool: flags.classifier_pool,
    },
    "the classifier of guided-diffusion's flags",
  );
}
