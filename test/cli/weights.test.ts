/** The commands that read weights and texts: inspect, forward, tokenize. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ExpectedFile } from '../parity/readers/weight-files.ts';
import { compareTensor, assertWithin } from '../parity.ts';
import { findReference, reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';
import { sd, temporaryFolder } from './run-cli.ts';
import { pocket, tiny } from './cli-files.ts';

for (const part of ['ckpt', 'safetensors']) {
  test(`inspect: its exit code is the verdict on every file of files/${part}`, async () => {
    const { files, sharded = [] } = JSON.parse(readFileSync(reference(`files/${part}/expected.json`), 'utf8')) as {
      files: (ExpectedFile & { file: string })[];
      sharded?: (ExpectedFile & { folder: string })[];
    };
    for (const entry of [...files, ...sharded]) {
      const name = 'file' in entry ? entry.file : entry.folder;
      const path = findReference(`files/${part}/${name}`);
      if (path === undefined) continue;
      const { code, out } = await sd(['inspect', '--json', path]);
      const report = JSON.parse(out);
      const verdict = code === 0 ? 'accept' : 'reject';
      const fits = entry.expected.startsWith(verdict) || entry.expected === 'accept or clear error';
      assertWithin({ part: 'cli', case: `inspect files/${part}`, output: name, error: fits ? 0 : 1, tolerance: 0 });
      if (code !== 0) {
        assert.match(report.error.code, /^file-/, name);
        assert.ok(report.error.message.includes(name), `${name}: ${report.error.message}`);
      } else assert.equal(report.loads, true);
    }
  });
}

test('inspect: a whole checkpoint', async () => {
  const { code, out } = await sd(['inspect', '--json', pocket]);
  assert.equal(code, 0);
  const report = JSON.parse(out);
  assert.deepEqual(
    [report.format, report.kind, report.layout, report.task, report.ema, report.verified],
    ['safetensors', 'checkpoint', 'compvis', 'txt2img', 'absent', true],
  );
  assert.deepEqual(
    report.parts.map((part: { name: string; parameters: number }) => [part.name, part.parameters]),
    [
      ['unet', 10860676],
      ['first_stage', 2776455],
      ['cond_stage', 1455232],
    ],
  );
  for (const part of report.parts) assert.deepEqual([part.missing, part.unexpected, part.misshapen], [[], [], []]);
  assert.ok(report.parts[0].flops.forward > 5e8);
  assert.deepEqual(report.assumed, [], 'the YAML beside it says everything');
  const text = await sd(['inspect', pocket]);
  assert.match(text.out, /unet: unet, 10\.86 Mparameters/);
  assert.match(text.out, /it loads\n$/);
});

test('inspect --quantised: every layer with what int8 does to it', async () => {
  const { code, out } = await sd(['inspect', '--quantised', '--quick', pocket]);
  assert.equal(code, 0);
  assert.match(out, /^unet in int8: (\d+) of (\d+) layers, [\d.]+ MB instead of [\d.]+ MB$/m);
  const line = (name: string): string => out.split('\n').find((text) => text.includes(name)) ?? '';
  assert.match(
    line('ff.net.0.proj.weight'),
    /\[\d+, \d+\] {2}[\d.]+ kB {2}int8, a range for each tensor, weight error 0\.\d+ %$/,
  );
  assert.match(line('ff.net.2.weight'), /higher precision: on a product$/);
  assert.match(line('time_embed.2.weight'), /higher precision: few rows$/);
  assert.match(line('skip_connection.weight'), /higher precision: 1x1 convolution$/);
  assert.match(line('attn2.to_k.weight'), /higher precision: on the context$/);
  assert.match(line('conv_in.weight'), /higher precision: few channels$/);
  const { quantised } = JSON.parse((await sd(['inspect', '--quantised', '--quick', '--json', pocket])).out);
  assert.deepEqual(
    quantised.map(({ name }: { readonly name: string }) => name),
    ['unet', 'first_stage', 'cond_stage'],
  );
});

test('inspect: a network that lacks and mixes up parameters does not load, and each is named', async (context) => {
  const folder = temporaryFolder(context);
  const broken = join(folder, 'broken.safetensors');
  const file = readFileSync(reference('networks/kl_sd/weights.safetensors'));
  // A name of the same length, so that the file stays valid.
  writeFileSync(
    broken,
    Buffer.from(file.toString('latin1').replace('decoder.conv_in.bias"', 'decoder.conv_in.bios"'), 'latin1'),
  );
  const { code, out } = await sd(['inspect', broken, '--json']);
  assert.equal(code, 1);
  const report = JSON.parse(out);
  assert.equal(report.error.code, 'weights-mismatch');
  assert.deepEqual(
    [report.parts[0].missing, report.parts[0].unexpected],
    [['decoder.conv_in.bias'], ['decoder.conv_in.bios']],
  );
});

for (const name of [
  'unet_sd',
  'unet_sd_diffusers',
  'kl_sd',
  'kl_sd_diffusers',
  'clip_text_quick_gelu_hf',
  'clip_text_gelu',
  'safety_checker',
  'taesd',
  'bert_embedder',
  'clip_vision',
  'encoder_unet_attention',
  'spatial_rescaler_bicubic',
  'vq',
  'openai_clip',
]) {
  const found = findReference(`networks/${name}/weights.safetensors`);
  test(`forward: ${name}`, { skip: found ? false : `networks/${name} is not here` }, async (context) => {
    const folder = reference(`networks/${name}`);
    const output = join(temporaryFolder(context), 'out.safetensors');
    const { cases } = JSON.parse(readFileSync(join(folder, '../index.json'), 'utf8')) as {
      cases: { name: string; inputs_from?: string; outputs: Record<string, { atol?: number }> }[];
    };
    const recorded = cases.find((entry) => entry.name === name);
    assert.ok(recorded);
    const config = ['config.yaml', 'config.json'].map((file) => join(folder, file)).find(existsSync) ?? '';
    const inputs = recorded.inputs_from
      ? reference(join('networks', name, recorded.inputs_from))
      : join(folder, 'inputs.safetensors');
    const { code, err } = await sd([
      'forward',
      '--model',
      join(folder, 'weights.safetensors'),
      '--config',
      config,
      '--inputs',
      inputs,
      '--output',
      output,
      '--taps',
      'all',
      '--threads',
      '1',
    ]);
    assert.equal(code, 0, err);
    const [got, want] = [readTensors(output), readTensors(join(folder, 'outputs.safetensors'))];
    for (const [tensor, { atol = 0 }] of Object.entries(recorded.outputs)) {
      assert.equal(pick(got, tensor).dtype, pick(want, tensor).dtype, tensor);
      compareTensor(
        { part: 'cli', case: `forward networks/${name}`, output: tensor, tolerance: atol },
        pick(got, tensor),
        pick(want, tensor),
      );
    }
  });
}

test('forward: parts of a whole checkpoint and of a diffusers folder, with and without a configuration', async (context) => {
  const folder = temporaryFolder(context);
  const outputs: string[] = [];
  const diffusers = findReference('files/diffusers/tiny-sd/model_index.json')?.replace(/.model_index\.json$/, '');
  for (const model of [tiny, reference('diffusion/pipelines/tiny-inpaint.ckpt'), ...(diffusers ? [diffusers] : [])]) {
    const input = join(folder, 'ids.safetensors');
    const { writeTensorFile } = await import('../../src/cli/tensor-file.ts');
    await writeTensorFile(
      input,
      new Map([
        [
          'input_ids',
          { dtype: 'int64', shape: [1, 77], data: BigInt64Array.from({ length: 77 }, (_, i) => BigInt(i)) },
        ],
      ]),
      {},
    );
    const output = join(folder, 'out.safetensors');
    assert.equal(
      (await sd(['forward', '--model', model, '--inputs', input, '--output', output])).code,
      2,
      'a part has to be chosen',
    );
    const { code, err } = await sd([
      'forward',
      '--model',
      model,
      '--part',
      'cond_stage',
      '--inputs',
      input,
      '--output',
      output,
      '--threads',
      '1',
    ]);
    assert.equal(code, 0, err);
    outputs.push(pick(readTensors(output), 'last_hidden_state').shape.slice(0, 2).join());
  }
  assert.ok(outputs.length >= 2 && outputs.every((shape) => shape === '1,77'), outputs.join(' '));
  const { code, err } = await sd([
    'forward',
    '--model',
    tiny,
    '--part',
    'safety',
    '--inputs',
    join(folder, 'ids.safetensors'),
    '--output',
    join(folder, 'none.safetensors'),
  ]);
  assert.equal(code, 2);
  assert.match(err, /safety/);
});

interface TokenRow {
  readonly text: string;
  readonly ids: readonly number[];
  /** An object with the error where the original raised one. */
  readonly openai_noftfy?: readonly number[] | object;
  readonly hf_fast?: readonly number[] | object;
  readonly fast?: readonly number[];
  readonly ids77?: readonly number[];
}

for (const [name, flags, column] of [
  ['clip', [], 'ids'],
  ['clip', ['--profile', 'openai_noftfy'], 'openai_noftfy'],
  ['clip', ['--profile', 'hf_fast'], 'hf_fast'],
  ['clip-8192', ['--vocab-size', '8192'], 'ids'],
  ['clip-8192', ['--model', pocket], 'ids'],
  ['bert', ['--bert', reference('files/tokenizers/bert-vocab.txt')], 'fast'],
  ['bert', ['--bert', reference('files/tokenizers/bert-vocab.txt'), '--profile', 'slow'], 'ids'],
  ['bert', ['--bert', reference('files/tokenizers/bert-vocab.txt'), '--profile', 'slow', '--length', '77'], 'ids77'],
] as const) {
  test(`tokenize: ${name} ${flags.filter((word) => !word.includes('/')).join(' ')}`, async () => {
    const { rows } = JSON.parse(readFileSync(reference(`files/tokenizers/${name}.json`), 'utf8')) as {
      rows: TokenRow[];
    };
    const wanted = rows.filter((row) => (column === 'ids77' ? row.ids77 : Array.isArray(row[column] ?? row.ids)));
    const { code, out, err } = await sd(['tokenize', '--json', '--from-file', '-', ...flags], {
      input: wanted.map(({ text }) => `${JSON.stringify(text)}\n`).join(''),
    });
    assert.equal(code, 0, err);
    const got = out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { ids: number[] }).ids);
    assert.equal(got.length, wanted.length);
    const differing = wanted.filter((row, i) => String(row[column] ?? row.ids) !== got[i]?.join());
    assertWithin({ part: 'cli', case: `tokenize ${name}`, output: column, error: differing.length, tolerance: 0 });
  });
}

test('tokenize: words, lines, and what cannot be', async () => {
  assert.deepEqual(await sd(['tokenize', 'a', 'red', 'apple']), {
    code: 0,
    out: '49406 320 736 3055 49407\n',
    err: '',
  });
  assert.equal(
    (await sd(['tokenize', '--from-file', '-'], { input: 'a\n\nb' })).out,
    '49406 320 49407\n49406 49407\n49406 321 49407\n'.replace(
      '321',
      `${(await sd(['tokenize', 'b'])).out.split(' ')[1]}`,
    ),
  );
  assert.equal((await sd(['tokenize', 'a', '--length', '5'])).out, '49406 320 49407 49407 49407\n');
  assert.equal((await sd(['tokenize', '--json', '--from-file', '-'], { input: '3\n' })).code, 2);
  assert.equal((await sd(['tokenize', 'a', '--profile', 'slow'])).code, 2);
  assert.equal((await sd(['tokenize', 'a', '--vocab-size', '100'])).code, 2);
});
