/** YAML from files that may be hostile: limits, tags and aliases; and mutations of a real configuration, which end in a value or a named error. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { reference } from '../reference.ts';

const refused = (text: string, message: RegExp) =>
  assert.throws(() => parseYaml(text, 'evil.yaml'), { code: 'config-invalid', message });

test('tags, duplicate keys, several documents and syntax errors are refused, by the name of the file', () => {
  refused('a: !!python/object/apply:os.system ["id"]', /evil\.yaml.*(tag|Unresolved)/i);
  refused('a: !custom 3', /evil\.yaml/);
  refused('a: 1\na: 2', /unique/i);
  refused('a: 1\n---\nb: 2', /evil\.yaml/);
  refused('a: [1, 2', /evil\.yaml/);
  refused('a: *missing', /evil\.yaml/);
});

test('a billion laughs, deep nesting and long texts end soon', () => {
  let laughs = 'a0: &a0 [x, x, x, x, x, x, x, x, x]\n';
  for (let level = 1; level < 12; level++)
    laughs += `a${level}: &a${level} [${Array(9)
      .fill(`*a${level - 1}`)
      .join(', ')}]\n`;
  refused(laughs, /alias/i);
  refused('['.repeat(100_000), /nested/);
  refused(`${'{a: '.repeat(5000)}1`, /nested/);
  refused('- '.repeat(5000), /nested/);
  refused(Array.from({ length: 200 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), /nested/);
  refused('? '.repeat(50_000), /evil\.yaml/);
  refused(`a: ${'x'.repeat(2 << 20)}`, /too long/);
});

test('anchors, merge keys, comments and both spellings of booleans work; prototypes are left alone', () => {
  const text =
    'base: &base {ch: 128, flag: True}\nother: {<<: *base, ch: 64} # comment\nnumber: 1.e-6\nhex: 0x10\nnone: ~';
  assert.deepEqual(parseYaml(text, 'x'), {
    base: { ch: 128, flag: true },
    other: { ch: 64, flag: true },
    number: 1e-6,
    hex: 16,
    none: null,
  });
  const evil = parseYaml('__proto__: {polluted: true}\nconstructor: 1', 'x') as Record<string, unknown>;
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  assert.equal(Object.getPrototypeOf(evil), Object.prototype);
  assert.throws(() => parseModelConfig('__proto__: {target: x.Identity}', 'x'), { code: 'config-invalid' });
  assert.throws(() => parseModelConfig('target: constructor', 'x'), { code: 'config-invalid' });
});

test('mutations of real configurations give a configuration or an error of ours', () => {
  const seeds = [
    'networks/unet_sd_diffusers/config.json',
    'networks/kl_sd_diffusers/config.json',
    'networks/taesd/config.json',
  ].map((path) => readFileSync(reference(path), 'utf8'));
  seeds.push(
    'model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n  params:\n    timesteps: 1000\n    unet_config:\n      target: a.UNetModel\n      params: {in_channels: 4, out_channels: 4, model_channels: 32, attention_resolutions: [1], num_res_blocks: 1, channel_mult: [1, 1], num_heads: 4}\n    first_stage_config: {target: torch.nn.Identity}\n    cond_stage_config: __is_unconditional__\n',
  );
  const pieces = [
    '-',
    ':',
    '[',
    '{',
    ']',
    '}',
    '&a ',
    '*a',
    '!!',
    '~',
    '1e999',
    '-1',
    '0',
    'null',
    '"',
    "'",
    '\n',
    '\t',
    '%',
    '|',
    '>',
    '__proto__',
    '\u0000',
    '99999999999999999999',
    '.nan',
    '[[]]',
  ];
  const edit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    cut: fc.integer({ min: 0, max: 12 }),
    insert: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })),
  });
  fc.assert(
    fc.property(fc.constantFrom(...seeds), fc.array(edit, { minLength: 1, maxLength: 6 }), (seed, edits) => {
      let text = seed;
      for (const { at, cut, insert } of edits) {
        const start = Math.floor(at * text.length);
        text = text.slice(0, start) + insert + text.slice(start + cut);
      }
      try {
        assert.equal(typeof parseModelConfig(text, 'mutated').kind, 'string');
      } catch (error) {
        assert.ok(
          error instanceof StableDiffusionError && error.code === 'config-invalid',
          `${String(error)}\n${text}`,
        );
      }
    }),
    { numRuns: 1500, interruptAfterTimeLimit: 3000, markInterruptAsFailure: false },
  );
});
