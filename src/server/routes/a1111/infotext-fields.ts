/** The field `infotext`: settings from a text as A1111 writes it under pictures, for what the request does not set (`apply_infotext`, v1.10.1). */

import * as z from 'zod';
import { type InfotextFields, parseInfotext } from '../../../image/metadata/infotext.ts';
import type { ServerContext } from '../../context.ts';
import { invalidField, unfit } from '../../http/problem.ts';
import type { SharedFields } from './generation-fields.ts';

/** Field of the request, and its name in the text. */
const labels: Readonly<Record<string, string>> = {
  prompt: 'Prompt',
  negative_prompt: 'Negative prompt',
  steps: 'Steps',
  sampler_name: 'Sampler',
  scheduler: 'Schedule type',
  cfg_scale: 'CFG scale',
  image_cfg_scale: 'Image CFG scale',
  seed: 'Seed',
  subseed: 'Variation seed',
  subseed_strength: 'Variation seed strength',
  seed_resize_from_w: 'Seed resize from-1',
  seed_resize_from_h: 'Seed resize from-2',
  width: 'Size-1',
  height: 'Size-2',
  batch_size: 'Batch size',
  denoising_strength: 'Denoising strength',
  hr_scale: 'Hires upscale',
  hr_upscaler: 'Hires upscaler',
  hr_second_pass_steps: 'Hires steps',
  hr_resize_x: 'Hires resize-1',
  hr_resize_y: 'Hires resize-2',
  hr_checkpoint_name: 'Hires checkpoint',
  hr_sampler_name: 'Hires sampler',
  hr_scheduler: 'Hires schedule type',
  hr_prompt: 'Hires prompt',
  hr_negative_prompt: 'Hires negative prompt',
};

/** Options, which go into `override_settings`. */
const options: Readonly<Record<string, string>> = {
  CLIP_stop_at_last_layers: 'Clip skip',
  eta_noise_seed_delta: 'ENSD',
  eta_ancestral: 'Eta',
  eta_ddim: 'Eta DDIM',
  emphasis: 'Emphasis',
  initial_noise_multiplier: 'Noise multiplier',
  sd_vae: 'VAE',
  s_churn: 'Sigma churn',
  s_tmin: 'Sigma tmin',
  s_tmax: 'Sigma tmax',
  s_noise: 'Sigma noise',
};

/** The options in a text; an unknown model or noise source is ignored, as in A1111. */
function overridesOf({ catalog }: ServerContext, told: InfotextFields): Record<string, unknown> {
  const found = Object.entries(options).flatMap(([name, label]) =>
    told[label] === undefined ? [] : [[name, told[label]] as const],
  );
  const known = catalog
    .list()
    .find(({ name, sha256 }) => name === told['Model'] || sha256?.startsWith(String(told['Model hash'] ?? 'none')));
  const rng = String(told['RNG']);
  return {
    ...Object.fromEntries(found),
    ...(known ? { sd_model_checkpoint: known.name } : {}),
    ...(['GPU', 'CPU', 'NV'].includes(rng) ? { randn_source: rng } : {}),
  };
}

/** The body, with omitted fields filled from its `infotext`. Throws `invalid-argument`. */
export function withInfotext<T extends Partial<SharedFields>>(context: ServerContext, body: T, schema: z.ZodObject): T {
  if (!body.infotext) return body;
  const { infotextLength } = context.limits;
  if (body.infotext.length > infotextLength)
    throw invalidField(['body', 'infotext'], `ensure this value has at most ${infotextLength} characters`);
  const told = parseInfotext(body.infotext);
  const all: Record<string, unknown> = { ...body };
  const isHires =
    told['Denoising strength'] !== undefined &&
    (told['Hires upscale'] !== undefined || told['Hires upscaler'] !== undefined || Number(told['Hires resize-1']) > 0);
  for (const [field, label] of [...Object.entries(labels), ['enable_hr', ''] as const]) {
    const value = field === 'enable_hr' ? isHires : told[label];
    const type = schema.shape[field];
    if (!type || (all[field] !== null && all[field] !== undefined) || value === undefined) continue;
    const read = z.safeParse(type, value);
    if (!read.success) throw unfit(['body', 'infotext', field], read.error);
    all[field] = read.data;
  }
  all['override_settings'] = { ...overridesOf(context, told), ...body.override_settings };
  return all as T;
}
