/**
 * Settings that travel with a model: the `recommended:` block of its YAML, or the same as JSON under `recommended` in the metadata of a
 * safetensors file. They are defaults of a request: they replace the program's, and the caller's replace them.
 *
 * @example
 * recommended:
 *   guidance: 4
 *   steps: 25
 *   sampler: DPM++ 2M Karras
 *   size: 512x768
 *   prompts: [a red apple, a house by the sea]
 */

import * as z from 'zod';
import { configError, isMapping, type Mapping, validated } from './validate.ts';
import { definedFields } from './defined-fields.ts';

const sizePattern = /^(\d{1,5})x(\d{1,5})$/;
const side = z.int().min(1).max(16_384);

const schema = z.strictObject({
  guidance: z.number().min(-10_000).max(10_000).optional(),
  steps: z.int().min(1).max(10_000).optional(),
  sampler: z.string().min(1).max(200).optional(),
  schedule: z.string().min(1).max(200).optional(),
  clip_skip: z.int().min(1).max(100).optional(),
  /** One number for both sides, or `WIDTHxHEIGHT`. */
  size: z.union([side, z.string().regex(sizePattern)]).optional(),
  negative_prompt: z.string().max(10_000).optional(),
  prompt_syntax: z.enum(['plain', 'a1111']).optional(),
  /** Examples of prompts that the model knows. */
  prompts: z.array(z.string().max(10_000)).max(100).optional(),
});

/** Defaults by the names that a request has for them. */
export interface RecommendedSettings {
  readonly guidanceScale?: number | undefined;
  readonly steps?: number | undefined;
  readonly sampler?: string | undefined;
  readonly schedule?: string | undefined;
  readonly clipSkip?: number | undefined;
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly negativePrompt?: string | undefined;
  readonly promptSyntax?: 'plain' | 'a1111' | undefined;
}

export interface Recommendation {
  readonly settings: RecommendedSettings;
  /** Examples of prompts. */
  readonly prompts: readonly string[];
}

function sizeOf(size: number | string | undefined): Pick<RecommendedSettings, 'width' | 'height'> {
  if (typeof size === 'number') return { width: size, height: size };
  const [, width, height] = sizePattern.exec(size ?? '') ?? [];
  return width === undefined || height === undefined ? {} : { width: Number(width), height: Number(height) };
}

function read(block: unknown, what: string): Recommendation {
  const {
    guidance,
    clip_skip,
    negative_prompt,
    prompt_syntax,
    size,
    prompts = [],
    ...same
  } = validated(schema, block as Mapping, what);
  return {
    settings: definedFields({
      ...same,
      guidanceScale: guidance,
      clipSkip: clip_skip,
      negativePrompt: negative_prompt,
      promptSyntax: prompt_syntax,
      ...sizeOf(size),
    }),
    prompts,
  };
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw configError(`${what} is not JSON.`);
  }
}

/**
 * What a model recommends: of its YAML, else of its file's metadata. `document` is the parsed YAML, `metadata` the text under `recommended`.
 * Throws `config-invalid`, naming the field.
 */
export function recommendationOf(document: unknown, metadata: unknown, label: string): Recommendation {
  if (isMapping(document) && document['recommended'] !== undefined)
    return read(document['recommended'], `recommended in the configuration of ${label}`);
  if (metadata === undefined) return { settings: {}, prompts: [] };
  const what = `recommended in the metadata of ${label}`;
  return read(typeof metadata === 'string' ? parseJson(metadata, what) : metadata, what);
}
