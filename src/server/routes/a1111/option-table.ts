/** The options of A1111 that clients read and write. Those with an effect here are read by generation.ts; others are kept and given back. */

import * as z from 'zod';
import { captionDefaults } from '../../../describing/caption.ts';
import type { ServerContext } from '../../context.ts';
import type { OptionValue } from '../../options-store.ts';
import { boolean, float, floatWithin, integer, list, text } from './pydantic.ts';
import { unusedOptions } from './unused-options.ts';

interface OptionRow {
  readonly schema: z.ZodType;
  readonly value: OptionValue;
}

const flag = (value: boolean): OptionRow => ({ schema: boolean(), value });
const whole = (value: number): OptionRow => ({ schema: integer(), value });
const counted = (least: number, most: number, value: number): OptionRow => ({
  schema: integer().pipe(z.number().min(least).max(most).nullable()),
  value,
});
const number = (value: number): OptionRow => ({ schema: float(), value });
const within = (least: number, most: number, value: number): OptionRow => ({ schema: floatWithin(least, most), value });
/** They are kept: none is so long that many would fill the memory. */
const longest = 10_000;
const words = (value: string): OptionRow => ({ schema: text().pipe(z.string().max(longest).nullable()), value });
/** `#rgb` or `#rrggbb`. */
const colour = (value: string): OptionRow => ({
  schema: text().pipe(
    z
      .string()
      .regex(/^#(?:[0-9a-f]{3}|[0-9a-f]{6})$/i, 'a colour must be written as #rrggbb')
      .nullable(),
  ),
  value,
});
const several = (value: readonly string[]): OptionRow => ({
  schema: list().refine(
    (given) => JSON.stringify(given).length <= longest,
    `ensure this value has at most ${longest} characters`,
  ),
  value,
});

/** The row of a default value. */
function rowOf(value: OptionValue): OptionRow {
  if (typeof value === 'boolean') return flag(value);
  if (typeof value === 'number') return number(value);
  return words(String(value));
}

/** Name and default value (A1111's, except for the seed source: see docs/reference/server-api.md). */
export const optionTable: Readonly<Record<string, OptionRow>> = {
  sd_model_checkpoint: words(''),
  sd_checkpoint_hash: words(''),
  sd_vae: words('Automatic'),
  CLIP_stop_at_last_layers: whole(1),
  randn_source: { schema: z.enum(['GPU', 'CPU', 'NV']).nullable(), value: 'GPU' },
  eta_ddim: within(-100, 100, 0),
  eta_ancestral: within(-100, 100, 1),
  eta_noise_seed_delta: whole(0),
  s_churn: within(-1000, 1000, 0),
  s_tmin: number(0),
  s_tmax: number(0),
  s_noise: within(-100, 100, 1),
  samples_format: { schema: z.enum(['png', 'jpg', 'jpeg', 'webp']).nullable(), value: 'png' },
  jpeg_quality: { schema: z.coerce.number().int().min(1).max(100), value: 80 },
  upscaler_for_img2img: words('None'),
  live_previews_enable: flag(true),
  live_previews_image_format: words('jpeg'),
  show_progress_every_n_steps: whole(10),
  show_progress_type: words('Approx NN'),
  live_preview_refresh_period: number(1000),
  samples_save: flag(true),
  save_to_dirs: flag(true),
  grid_save: flag(true),
  return_grid: flag(true),
  return_mask: flag(false),
  return_mask_composite: flag(false),
  img2img_color_correction: flag(false),
  initial_noise_multiplier: within(0, 10, 1),
  img2img_background_color: colour('#ffffff'),
  img2img_fix_steps: flag(false),
  tiling: flag(false),
  lora_preferred_name: words('Alias from file'),
  sd_hypernetwork: words('None'),
  face_restoration: flag(false),
  face_restoration_model: words('CodeFormer'),
  code_former_weight: number(0.5),
  interrogate_clip_num_beams: counted(1, 24, captionDefaults.beams),
  interrogate_clip_min_length: counted(1, 128, captionDefaults.shortest),
  interrogate_clip_max_length: counted(1, 256, captionDefaults.longest),
  interrogate_clip_dict_limit: whole(1500),
  interrogate_clip_skip_categories: several([]),
  interrogate_return_ranks: flag(false),
  interrogate_deepbooru_score_threshold: number(0.5),
  deepbooru_sort_alpha: flag(true),
  deepbooru_use_spaces: flag(true),
  deepbooru_escape: flag(true),
  deepbooru_filter_tags: words(''),
  enable_batch_seeds: flag(true),
  comma_padding_backtrack: whole(20),
  emphasis: words('Original'),
  enable_emphasis: flag(true),
  upcast_attn: flag(false),
  token_merging_ratio: number(0),
  token_merging_ratio_img2img: number(0),
  sd_checkpoints_limit: whole(1),
  sd_checkpoint_cache: whole(0),
  memmon_poll_rate: whole(8),
  save_images_add_number: flag(true),
  quicksettings_list: several(['sd_model_checkpoint']),
  hidden_tabs: several([]),
  disabled_extensions: several([]),
  outdir_samples: words(''),
  outdir_txt2img_samples: words(''),
  outdir_img2img_samples: words(''),
  ...Object.fromEntries(Object.entries(unusedOptions).map(([name, value]) => [name, rowOf(value)])),
};

/** All options of a caller; the model by its title, as there. */
export function optionsOf(context: ServerContext, owner: string): Readonly<Record<string, OptionValue>> {
  const changed = context.options.get(owner);
  const all: Record<string, OptionValue> = {};
  for (const [name, { value }] of Object.entries(optionTable)) all[name] = changed[name] ?? value;
  const model = currentModel(context, owner);
  return { ...all, sd_model_checkpoint: model.title, sd_checkpoint_hash: model.sha256 ?? '' };
}

/** The caller's chosen model; the default if it no longer exists. */
export function currentModel({ catalog, options }: ServerContext, owner: string): ReturnType<typeof catalog.find> {
  const chosen = options.get(owner)['sd_model_checkpoint'];
  const known = catalog.list().find(({ name }) => name === chosen);
  return known ?? catalog.find(undefined);
}

/** Values that can be set: known names, and values of their kind. Others are left out (unknown) or reported (wrong). */
export function checkOptions(
  values: Readonly<Record<string, unknown>>,
): z.ZodSafeParseResult<Record<string, OptionValue>> {
  const known = Object.fromEntries(
    Object.keys(values).flatMap((name) =>
      Object.hasOwn(optionTable, name) ? [[name, optionTable[name]?.schema as z.ZodType] as const] : [],
    ),
  );
  return z.object(known).safeParse(values) as z.ZodSafeParseResult<Record<string, OptionValue>>;
}
