/** A1111's infotext against web UI v1.10.1 (diffusion/prompts infotext_parse, infotext_create, infotext_quote). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { type A1111Settings, a1111Infotext } from '../../src/image/metadata/a1111-settings.ts';
import {
  formatInfotext,
  type InfotextValue,
  infotextPairs,
  parseInfotext,
  pythonFloat,
  quoteInfotext,
  unquoteInfotext,
} from '../../src/image/metadata/infotext.ts';
import { usesEmphasis } from '../../src/image/metadata/infotext-defaults.ts';
import { comparePythonVersions, parsePythonVersion } from '../../src/image/metadata/python-version.ts';
import { recordParity } from '../parity.ts';
import { reference } from '../reference.ts';

/** Python floats such as 7.0 are marked before JSON.parse makes them 7. */
function readCases<T>(name: string): T {
  const text = readFileSync(reference(`diffusion/prompts/${name}.json`), 'utf8');
  return JSON.parse(text.replace(/(?<!\\)":(-?\d+\.\d+(?:e[+-]?\d+)?)(?=[,}])/g, '":{"float":$1}')) as T;
}

type Float = { readonly float: number };
const numberOf = (value: number | Float): number => (typeof value === 'number' ? value : value.float);

const version = 'web UI v1.10.1';

function same(got: unknown, want: unknown): number {
  try {
    assert.deepEqual(got, want);
    return 0;
  } catch {
    return 1;
  }
}

interface ParseCase {
  readonly text: string;
  readonly parsed: Readonly<Record<string, string | number | boolean>>;
  readonly parsed_skip_seed: readonly string[];
}

test('infotext_parse: every text', () => {
  for (const [i, { text, parsed, parsed_skip_seed }] of readCases<ParseCase[]>('infotext_parse').entries()) {
    const row = { part: 'diffusion/prompts', case: 'infotext_parse', reference: version, tolerance: 0 };
    const got = parseInfotext(text);
    assert.deepEqual(got, parsed, JSON.stringify(text));
    recordParity({ ...row, output: `row ${i}`, error: same(got, parsed) });
    recordParity({
      ...row,
      output: `row ${i}, Seed and Size-1 skipped`,
      error: same(Object.keys(parseInfotext(text, { skip: ['Seed', 'Size-1'] })).sort(), [...parsed_skip_seed]),
    });
  }
});

interface QuoteCase {
  readonly value?: InfotextValue | Float;
  readonly quoted?: string;
  readonly text?: string;
  readonly unquoted: string;
}

test('infotext_quote: every value and text', () => {
  for (const [i, { value, quoted, text, unquoted }] of readCases<QuoteCase[]>('infotext_quote').entries()) {
    const row = { part: 'diffusion/prompts', case: 'infotext_quote', reference: version, tolerance: 0 };
    if (value !== undefined) {
      const got = quoteInfotext(typeof value === 'object' && value ? pythonFloat(value.float) : value);
      recordParity({ ...row, output: `row ${i}, quoted`, error: same(got, quoted) });
    }
    recordParity({
      ...row,
      output: `row ${i}, unquoted`,
      error: same(unquoteInfotext(text ?? quoted ?? ''), unquoted),
    });
  }
});

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
function settingsOf({ p, options, position_in_batch, all_prompts }: CreateCase, main: boolean): A1111Settings {
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

test('infotext_create: each image, the main prompt, and parsing again', () => {
  for (const [i, row] of readCases<CreateCase[]>('infotext_create').entries()) {
    const parity = { part: 'diffusion/prompts', case: 'infotext_create', reference: version, tolerance: 0 };
    const got = a1111Infotext(settingsOf(row, false));
    assert.equal(got, row.infotext);
    recordParity({ ...parity, output: `row ${i}`, error: same(got, row.infotext) });
    const mainText = a1111Infotext(settingsOf(row, true));
    recordParity({
      ...parity,
      output: `row ${i}, main prompt`,
      error: same(mainText, row['infotext_main_prompt (all_prompts first, second)']),
    });
    recordParity({ ...parity, output: `row ${i}, parsed again`, error: same(parseInfotext(got), row.parsed_again) });
  }
});

test('pythonFloat prints as Python does', () => {
  const rows: [number, string][] = [
    [7, '7.0'],
    [0.1, '0.1'],
    [1e16, '1e+16'],
    [1e15, '1000000000000000.0'],
    [1e-4, '0.0001'],
    [1e-5, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [-0, '-0.0'],
    [Number.NaN, 'nan'],
    [1e22, '1e+22'],
  ];
  for (const [value, text] of rows) assert.equal(pythonFloat(value), text);
});

test('versions are ordered as PEP 440 orders them', () => {
  const ordered = [
    '1.0.dev1',
    '1.0a1.dev2',
    '1.0a1',
    '1.0b2',
    '1.0rc1',
    'v1.0',
    '1.0.post1.dev3',
    '1.0-2',
    '1.1',
    '1.10',
    '1!0.5',
  ];
  for (let i = 1; i < ordered.length; i++) {
    const [a, b] = [parsePythonVersion(ordered[i - 1] ?? ''), parsePythonVersion(ordered[i] ?? '')];
    assert.ok(a && b && comparePythonVersions(a, b) < 0, `${ordered[i - 1]} < ${ordered[i]}`);
  }
  assert.equal(parsePythonVersion('nonsense'), undefined);
  const [a, b] = [parsePythonVersion('1.0'), parsePythonVersion('v1.0.0+cpu')];
  assert.ok(a && b && comparePythonVersions(a, b) === 0);
});

test('emphasis: brackets that end up with weight 1 are none', () => {
  for (const [prompt, uses] of [
    ['a (b) c', true],
    ['[a]', true],
    ['(a:1.0)', false],
    ['\\(a\\)', false],
    ['()', false],
    ['(a', true],
    ['a) b]', false],
    ['a BREAK b', false],
    ['(a:0.5)', true],
  ] as const) {
    assert.equal(usesEmphasis(prompt), uses, prompt);
  }
});

test('what is formatted is parsed back (property)', () => {
  const key = fc
    .stringMatching(/^[A-Z][a-z]{1,8}( [a-z]{1,5})?$/)
    .filter((name) => !/^(Prompt|Negative prompt|Hypernet|Version|Steps|Sampler|Seed|Size)$/.test(name));
  const value = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter(
      (text) =>
        text.trim() === text &&
        !text.includes('"') &&
        !/^\d+x\d+$/.test(text) &&
        ![...text].some((letter) => '\x1c\x1d\x1e\x1f\u0085\ufeff'.includes(letter)),
    );
  const line = fc.string({ maxLength: 40 }).map((text) => text.replace(/[\n\r:]/g, '').trim());
  fc.assert(
    fc.property(line, line, fc.dictionary(key, value, { maxKeys: 5 }), (prompt, negativePrompt, extra) => {
      const settings = Object.entries({ Steps: 20, Sampler: 'Euler a', Seed: 5, ...extra });
      const fields = parseInfotext(formatInfotext({ prompt, negativePrompt, settings }));
      assert.equal(fields['Prompt'], prompt);
      assert.equal(fields['Negative prompt'], negativePrompt);
      for (const [name, text] of Object.entries(extra)) if (name !== text) assert.equal(fields[name], text);
    }),
    { numRuns: 300 },
  );
});

test("pairs are those of A1111's regular expression (property)", () => {
  const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*';
  const original = new RegExp(
    `${space}([\\p{L}\\p{N}_][\\p{L}\\p{N}_ \\-/]+):${space}("(?:\\\\[^\\n]|[^\\\\"])+"|[^,]*)(?:,|$)`,
    'gu',
  );
  const text = fc
    .array(
      fc.constantFrom(
        'a',
        'Ab',
        ' ',
        ': ',
        ':',
        ',',
        ', ',
        '"',
        '\\',
        '-',
        '/',
        'é',
        '😀',
        '𝒳',
        '1x2',
        '\u3000',
        '.',
        '_',
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(''));
  fc.assert(
    fc.property(text, (line) => {
      assert.deepEqual(
        infotextPairs(line),
        Array.from(line.matchAll(original), ([, key, value]) => [key, value]),
      );
    }),
    { numRuns: 3000 },
  );
});

test('any text parses, and long hostile ones in linear time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => void parseInfotext(text)),
    { numRuns: 500 },
  );
  const started = performance.now();
  for (const piece of ['a', ' ', 'ab: ', 'ab:"', '\\', '(', '(a', ':', 'a "', '"', ',', 'BREAK ', '[a'])
    parseInfotext(piece.repeat(Math.ceil(500_000 / piece.length)));
  assert.ok(performance.now() - started < 5000, `took ${performance.now() - started} ms`);
});
