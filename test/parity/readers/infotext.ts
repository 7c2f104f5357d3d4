/** A1111's infotext: parsing, quoting, and writing it for a job. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type A1111Settings, a1111Infotext } from '../../../src/image/metadata/a1111-settings.ts';
import {
  type InfotextValue,
  parseInfotext,
  pythonFloat,
  quoteInfotext,
  unquoteInfotext,
} from '../../../src/image/metadata/infotext.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import type { Reader, RecordedCase } from '../reader.ts';
import { originalOf } from '../reader.ts';

/** Kinds by what the row exercises: all three are of one module of A1111. */
const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void])[] = [
  [/create_infotext/, compareWriting],
  [/parse_generation_parameters/, compareParsing],
  [/unquote/, compareQuoting],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([pattern]) => pattern.test(String(row['exercises'])))?.[1];

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'prompts' &&
    /infotext_utils|create_infotext|processing\.py/.test(originalOf(row)) &&
    kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(recorded, compare)),
};

/** Python floats such as 7.0 are marked before JSON.parse makes them 7. */
function readCases<T>({ setFolder, row }: RecordedCase): T {
  const text = readFileSync(join(setFolder, String(row['file'])), 'utf8');
  return JSON.parse(text.replace(/(?<!\\)":(-?\d+\.\d+(?:e[+-]?\d+)?)(?=[,}])/g, '":{"float":$1}')) as T;
}

type Float = { readonly float: number };
const numberOf = (value: number | Float): number => (typeof value === 'number' ? value : value.float);

interface ParseCase {
  readonly text: string;
  readonly parsed: Readonly<Record<string, string | number | boolean>>;
  readonly parsed_skip_seed: readonly string[];
}

function compareParsing(recorded: RecordedCase, compare: Comparisons): void {
  for (const [i, { text, parsed, parsed_skip_seed }] of readCases<ParseCase[]>(recorded).entries()) {
    compare.exact(`row ${i}`, sorted(parseInfotext(text)), sorted(parsed));
    const kept = Object.keys(parseInfotext(text, { skip: ['Seed', 'Size-1'] }));
    compare.exact(`row ${i}, Seed and Size-1 skipped`, kept.sort(), [...parsed_skip_seed].sort());
  }
}

/** Entries in the order of their keys, which is not compared. */
function sorted(record: Readonly<Record<string, unknown>>): unknown {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

interface QuoteCase {
  readonly value?: InfotextValue | Float;
  readonly quoted?: string;
  readonly text?: string;
  readonly unquoted: string;
}

function compareQuoting(recorded: RecordedCase, compare: Comparisons): void {
  for (const [i, { value, quoted, text, unquoted }] of readCases<QuoteCase[]>(recorded).entries()) {
    if (value !== undefined) {
      const given = typeof value === 'object' && value ? pythonFloat(value.float) : value;
      compare.exact(`row ${i}, quoted`, quoteInfotext(given), quoted);
    }
    compare.exact(`row ${i}, unquoted`, unquoteInfotext(text ?? quoted ?? ''), unquoted);
  }
}

interface CreateCase {
  readonly p: Readonly<Record<string, unknown>> & {
    readonly steps: number;
    readonly sampler_name: string;
    readonly scheduler: string;
    readonly cfg_scale: number | Float;
    readonly all_seeds: readonly number[];
    readonly all_subseeds: readonly number[];
    readonly restore_faces: boolean;
    readonly width: number;
    readonly height: number;
    readonly sd_model_hash: string | null;
    readonly sd_model_name: string | null;
    readonly sd_vae_hash: string | null;
    readonly sd_vae_name: string | null;
    readonly subseed_strength: number | Float;
    readonly seed_resize_from_w: number;
    readonly seed_resize_from_h: number;
    readonly extra_generation_params: Readonly<Record<string, InfotextValue | Float | readonly InfotextValue[]>>;
    readonly tiling: boolean;
    readonly all_negative_prompts: readonly string[];
    readonly main_prompt: string;
    readonly main_negative_prompt: string;
    readonly clip_skip: number;
  };
  readonly options: Readonly<Record<string, unknown>>;
  readonly position_in_batch: number;
  readonly all_prompts: readonly string[];
  readonly infotext: string;
  readonly 'infotext_main_prompt (all_prompts first, second)': string;
  readonly parsed_again: Readonly<Record<string, string | number | boolean>>;
}

/** The job of a case as our settings, for its own image or for the main prompt. */
function a1111SettingsOf({ p, options, position_in_batch, all_prompts }: CreateCase, main: boolean): A1111Settings {
  const index = main ? 0 : position_in_batch;
  const extra = Object.entries(p.extra_generation_params).map(
    ([key, value]): [string, InfotextValue | readonly InfotextValue[]] => {
      if (key === 'Call') return [key, `i${index}`]; // a Python callable, in the reference
      return [
        key,
        typeof value === 'object' && value && 'float' in value ? pythonFloat(value.float) : (value as InfotextValue),
      ];
    },
  );
  const option = <T>(name: string, otherwise: T): T => (name in options ? (options[name] as T) : otherwise);
  return {
    prompt: main ? p.main_prompt : (all_prompts[index] ?? ''),
    negativePrompt: main ? p.main_negative_prompt : (p.all_negative_prompts[index] ?? ''),
    steps: p.steps,
    sampler: p.sampler_name,
    scheduler: p.scheduler,
    cfgScale: numberOf(p.cfg_scale),
    seed: p.all_seeds[index] ?? 0,
    ...(p.restore_faces ? { faceRestoration: 'CodeFormer' } : {}),
    width: p.width,
    height: p.height,
    modelHash: option('add_model_hash_to_info', true) ? p.sd_model_hash : null,
    model: p.sd_model_name,
    vaeHash: p.sd_vae_hash,
    vae: p.sd_vae_name,
    variationSeed: p.all_subseeds[index] ?? 0,
    variationStrength: numberOf(p.subseed_strength),
    seedResizeFrom: { width: p.seed_resize_from_w, height: p.seed_resize_from_h },
    clipSkip: p.clip_skip,
    ensd: option('eta_noise_seed_delta', 0),
    rng: option('randn_source', 'GPU'),
    tiling: p.tiling,
    extra: Object.fromEntries(extra),
    index,
    ...(option('add_version_to_infotext', true) ? { version: 'v1.10.1' } : {}),
  };
}

function compareWriting(recorded: RecordedCase, compare: Comparisons): void {
  for (const [i, row] of readCases<CreateCase[]>(recorded).entries()) {
    const got = a1111Infotext(a1111SettingsOf(row, false));
    compare.exact(`row ${i}`, got, row.infotext);
    const main = a1111Infotext(a1111SettingsOf(row, true));
    compare.exact(`row ${i}, main prompt`, main, row['infotext_main_prompt (all_prompts first, second)']);
    compare.exact(`row ${i}, parsed again`, sorted(parseInfotext(got)), sorted(row.parsed_again));
  }
}
