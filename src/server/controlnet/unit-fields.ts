/** The fields of a unit of sd-webui-controlnet as clients send them, old names and new ones (`ControlNetUnit.from_dict`). */

import * as z from 'zod';
import { resizeModes } from '../../image/fit-image.ts';
import { boundedList } from '../admission/bounded-list.ts';
import { boolean, float, integer, text } from '../routes/a1111/pydantic.ts';
import { mostReferencePictures } from '../job-controls.ts';
import { modeTexts, resizeTexts } from './unit-text.ts';

const picture = z.string().nullish();
const pair = z.object({ image: picture, mask: picture });

/** A picture alone, with its mask as an object or as a list of two, or several of them. */
const images = z.union([
  z.string(),
  pair,
  boundedList(z.union([z.string(), pair, z.null()]), 2 * mostReferencePictures),
]);

const optional = <T extends z.ZodType>(schema: T) => z.preprocess((value) => value ?? null, schema.nullable());

/** Numbers count in the order of the names. */
function choiceOf<const T extends string>(what: string, texts: Readonly<Record<string, string>>, order: readonly T[]) {
  const aliases: Readonly<Record<string, T>> = Object.fromEntries(
    order.map((key) => [(texts[key] as string).toLowerCase(), key]),
  );
  return optional(
    z.union([z.string(), z.number()]).transform((given, context): T => {
      const found = typeof given === 'number' ? order[given] : aliases[given.toLowerCase()];
      if (found !== undefined) return found;
      context.addIssue({
        code: 'custom',
        message: `unexpected ${what}; permitted: ${order.map((key) => `'${texts[key]}'`).join(', ')}`,
      });
      return z.NEVER;
    }),
  );
}

const oldResizeTexts: Readonly<Record<string, string>> = {
  'inner fit (scale to fit)': resizeTexts.crop,
  'scale to fit (inner fit)': resizeTexts.crop,
  'outer fit (shrink to fit)': resizeTexts.fill,
  'envelope (outer fit)': resizeTexts.fill,
};

/** 3 is A1111's "Just Resize (Latent upscale)". */
const asResizeMode = (given: unknown): unknown =>
  typeof given === 'string' ? (oldResizeTexts[given.toLowerCase()] ?? given) : given === 3 ? 0 : given;

const passes = { both: 'Both', first: 'Low res only', second: 'High res only' } as const;

const fields = z.object({
  enabled: boolean(),
  module: text(),
  model: text(),
  weight: float(),
  image: optional(images),
  mask: optional(images),
  resize_mode: z.preprocess(asResizeMode, choiceOf('resize_mode', resizeTexts, resizeModes)),
  processor_res: integer(),
  threshold_a: float(),
  threshold_b: float(),
  guidance_start: float(),
  guidance_end: float(),
  pixel_perfect: boolean(),
  control_mode: choiceOf('control_mode', modeTexts, ['balanced', 'prompt', 'control']),
  inpaint_crop_input_image: boolean(),
  hr_option: choiceOf('hr_option', passes, ['both', 'first', 'second']),
  save_detected_map: boolean(),
  advanced_weighting: optional(boundedList(z.number(), 64)),
  effective_region_mask: optional(z.string()),
  ipadapter_input: optional(z.unknown()),
});

/** Old name and today's. */
const oldNames = [
  ['input_image', 'image'],
  ['guidance', 'guidance_end'],
  ['mask_image', 'mask'],
] as const;

/** A unit; null where it is none, or is turned off. */
export const unitSchema = z
  .preprocess((given) => {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) return given;
    const unit: Record<string, unknown> = { ...given };
    for (const [old, name] of oldNames) unit[name] ??= unit[old];
    return unit;
  }, fields)
  .nullable();

export type ControlUnitFields = z.output<typeof fields>;
