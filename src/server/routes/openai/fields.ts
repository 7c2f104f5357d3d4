/** The fields of OpenAI's images API. Others are ignored; a few of our own give more control. */

import * as z from 'zod';
import { plainSeedSchema } from '../../../generation/fields.ts';
import { isSeedText, plainSeed } from '../../../random/plain-seed.ts';
import { boundedList } from '../../admission/bounded-list.ts';
import type { FormPart } from '../../http/route.ts';

/** Forms have text alone: numbers and booleans are read from it. */
const number = z.preprocess(
  (value) => (typeof value === 'string' && value.trim() !== '' ? Number(value) : value),
  z.number(),
);
const whole = z.preprocess(
  (value) => (typeof value === 'string' && value.trim() !== '' ? Number(value) : value),
  z.int(),
);
/** Beyond 2^53 its digits. */
const seed = z.preprocess(
  (value) => (typeof value === 'string' && isSeedText(value.trim()) ? plainSeed(value.trim()) : value),
  plainSeedSchema,
);
const boolean = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean());

/** A field that may be left out or null. */
const maybe = <T extends z.ZodType>(schema: T) => schema.nullish();

export const sharedFields = {
  model: maybe(z.string()),
  n: maybe(whole.pipe(z.int().min(1).max(10))),
  size: maybe(z.string().regex(/^(auto|\d{1,5}x\d{1,5})$/, 'must be "auto" or WIDTHxHEIGHT')),
  quality: maybe(z.enum(['auto', 'low', 'medium', 'high', 'standard', 'hd'])),
  response_format: maybe(z.enum(['url', 'b64_json'])),
  output_format: maybe(z.enum(['png', 'jpeg', 'webp'])),
  output_compression: maybe(whole.pipe(z.int().min(0).max(100))),
  background: maybe(z.enum(['auto', 'opaque', 'transparent'])),
  moderation: maybe(z.enum(['auto', 'low'])),
  style: maybe(z.string()),
  user: maybe(z.string()),
  stream: maybe(boolean),
  partial_images: maybe(whole.pipe(z.int().min(0).max(3))),
  // Ours
  negative_prompt: maybe(z.string()),
  seed: maybe(seed),
  steps: maybe(whole),
  guidance_scale: maybe(number),
  sampler: maybe(z.string()),
};

export const generationFields = z.object({ prompt: z.string().min(1), ...sharedFields });

const file = z.union([z.instanceof(Uint8Array), z.string()]);
const files = z.union([file, boundedList(file, 16)]);
/** A picture in JSON: a data URL, or a URL if the server fetches pictures. */
const link = z.object({ image_url: z.string() });

export const editFields = z.object({
  prompt: z.string().min(1),
  image: maybe(files),
  images: maybe(boundedList(link, 16)),
  mask: maybe(z.union([file, link])),
  input_fidelity: maybe(z.enum(['high', 'low'])),
  strength: maybe(number),
  ...sharedFields,
});

export const variationFields = z.object({ image: files, strength: maybe(number), ...sharedFields });

export type SharedFields = Omit<z.output<typeof generationFields>, 'prompt'>;

/** A form as an object; `image[]` and repeated names become lists. */
export function formFields(parts: readonly FormPart[]): Record<string, unknown> {
  const fields = new Map<string, unknown[]>();
  for (const part of parts) {
    const name = part.name.replace(/\[\d*\]$/, '');
    fields.set(name, [...(fields.get(name) ?? []), 'text' in part ? part.text : part.bytes]);
  }
  return Object.fromEntries([...fields].map(([name, values]) => [name, values.length === 1 ? values[0] : values]));
}

const tokens = z.object({ image_tokens: z.int(), text_tokens: z.int() });

export const imagesResponse = z.object({
  created: z.int(),
  data: z.array(
    z.object({ b64_json: z.string().optional(), url: z.string().optional(), revised_prompt: z.string().optional() }),
  ),
  background: z.literal('opaque').optional(),
  output_format: z.enum(['png', 'jpeg', 'webp']).optional(),
  size: z.string().optional(),
  quality: z.string().optional(),
  usage: z
    .object({
      input_tokens: z.int(),
      output_tokens: z.int(),
      total_tokens: z.int(),
      input_tokens_details: tokens,
      output_tokens_details: tokens,
    })
    .optional(),
});
