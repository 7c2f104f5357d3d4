/** The command line itself: flags and their aliases, help, errors, exit codes, progress, completion. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { normalizeArguments } from '../../src/cli/arguments.ts';
import { commands } from '../../src/cli/commands.ts';
import { engineOptions, precisionOf } from '../../src/cli/engine-options.ts';
import { reportError } from '../../src/cli/exit-codes.ts';
import { generationOptions, outputOptions } from '../../src/cli/generation-options.ts';
import { chunks, readSeed } from '../../src/cli/generation.ts';
import { choice, flag, integer, integers, number, UsageError } from '../../src/cli/options.ts';
import { textOutput } from '../../src/cli/command.ts';
import { createProgress, seconds, stepLine } from '../../src/cli/progress.ts';
import { createStopwatch } from '../../src/cli/stopwatch.ts';
import { textLines } from '../../src/cli/text-lines.ts';
import { StableDiffusionError } from '../../src/errors.ts';
import { sd, temporaryFolder } from './run-cli.ts';

test("CompVis's flags, ours, and both dash styles are one", () => {
  const options = { ...generationOptions, ...outputOptions };
  const same = (...words: string[]): void => assert.deepEqual(normalizeArguments(words, options), ['--steps', '20']);
  same('--steps', '20');
  same('--ddim_steps', '20');
  same('--ddim-steps', '20');
  assert.deepEqual(normalizeArguments(['--ddim-steps=20'], options), ['--steps=20']);
  assert.deepEqual(normalizeArguments(['--n-samples', '3', '--skip-grid', '--dpm-solver'], options), [
    '--n_samples',
    '3',
    '--skip_grid',
    '--dpm_solver',
  ]);
  assert.deepEqual(normalizeArguments(['--from_file', 'a_b.txt', '-o', 'x_y.png'], options), [
    '--from-file',
    'a_b.txt',
    '--output',
    'x_y.png',
  ]);
});

test('values and words stay as they are, also where they look like flags', () => {
  const options = { ...generationOptions };
  assert.deepEqual(normalizeArguments(['--prompt', '--ddim_steps', 'a_b', '--', '--ddim_steps'], options), [
    '--prompt',
    '--ddim_steps',
    'a_b',
    '--',
    '--ddim_steps',
  ]);
  assert.deepEqual(normalizeArguments(['--seed', '-1', '--un_known'], options), ['--seed', '-1', '--un_known']);
});

test('options read their values or say what they are', () => {
  const steps = integer(['--steps'], '', { min: 1, max: 10 });
  assert.equal(steps.parse?.('7'), 7);
  for (const wrong of ['', '1.5', 'x', '0', '11', '1e1', '99999999999999999999'])
    assert.throws(() => steps.parse?.(wrong), UsageError, wrong);
  assert.equal(number(['--scale'], '').parse?.('-7.5'), -7.5);
  for (const wrong of ['', 'NaN', 'Infinity', '1,5'])
    assert.throws(() => number(['--scale'], '').parse?.(wrong), UsageError, wrong);
  assert.deepEqual(integers(['--class'], '').parse?.('1, 2,3'), [1, 2, 3]);
  const dtype = choice(['--dtype'], ['f16', 'f32'], '', { float16: 'f16' });
  assert.equal(dtype.parse?.('float16'), 'f16');
  for (const wrong of ['f8', 'toString', '__proto__']) assert.throws(() => dtype.parse?.(wrong), UsageError);
  assert.equal(flag(['--json'], '').value, undefined);
});

test('precision: CompVis words and ours', () => {
  const of = (given: string | undefined, provider: 'cpu' | 'cuda' = 'cpu') =>
    precisionOf({ precision: given === undefined ? undefined : engineOptions.precision.parse?.(given) }, { provider });
  assert.equal(of(undefined), 'float32');
  assert.equal(of('full'), 'float32');
  assert.equal(of('autocast'), 'float32');
  assert.equal(of('autocast', 'cuda'), 'float16');
  assert.equal(of('float16'), 'float16');
  assert.equal(of('f16'), 'float16');
});

test('seeds', () => {
  assert.equal(readSeed(undefined), 42);
  assert.equal(readSeed('-3'), -3);
  const random = readSeed('random');
  assert.ok(Number.isInteger(random) && random >= 0 && random < 2 ** 32);
  assert.throws(() => readSeed('1.5'), UsageError);
  assert.throws(() => readSeed('99999999999999999'), UsageError);
});

test('prompts of a file in batches, the last one shorter', () => assert.deepEqual(chunks([1, 2, 3], 2), [[1, 2], [3]]));

test('lines end at LF and CRLF only', async () => {
  async function* input(): AsyncGenerator<Uint8Array, void, void> {
    yield new TextEncoder().encode('a\u2028b\r\nc\rd\n\né');
  }
  const lines: string[] = [];
  for await (const line of textLines('-', input())) lines.push(line);
  assert.deepEqual(lines, ['a\u2028b', 'c\rd', '', 'é']);
  await assert.rejects(textLines('/nowhere/at/all', input()).next(), { code: 'file-not-found' });
});

test('help, version and the list of commands', async () => {
  const help = await sd(['--help']);
  assert.equal(help.code, 0);
  for (const { name, summary } of commands) assert.ok(help.out.includes(name) && help.out.includes(summary), name);
  assert.deepEqual(await sd([]), help);
  assert.deepEqual(await sd(['--version']), { code: 0, out: '1.2.3\n', err: '' });
  const usage = await sd(['help', 'txt2img']);
  assert.equal(usage.code, 0);
  assert.match(usage.out, /--ddim_steps/);
  assert.match(usage.out, /Examples:/);
  assert.match(usage.out, /Exit codes:/);
});

test('every command has help, and no two of its options share a flag', async () => {
  for (const { name, load } of commands) {
    const flags = Object.values((await load()).options).flatMap((option) =>
      option.flags.map((one) => one.replaceAll('_', '-')),
    );
    assert.deepEqual(
      flags.filter((one, i) => flags.indexOf(one) !== i),
      [],
      name,
    );
    assert.equal((await sd([name, '--help'])).code, 0, name);
  }
});

test('an invalid command line is one line with a code, and exit code 2', async () => {
  for (const words of [
    ['nope'],
    ['txt2img', 'x', '--stepz', '3'],
    ['txt2img', 'x', '--steps', '0'],
    ['txt2img', 'x', '--seed', 'y'],
    ['txt2img'],
    ['img2img', 'x'],
    ['inpaint', 'x', '--init-img', 'a.png'],
    ['forward'],
    ['tokenize'],
    ['completion', 'tcsh'],
    ['txt2img', 'a', '--prompt', 'b'],
    ['txt2img', 'x', '--plms', '--sampler', 'ddim'],
    ['txt2img', 'x', '--sampler', 'nope'],
    ['txt2img', 'x', '--H', '100'],
    ['txt2img', 'x', '--C', '3'],
  ]) {
    const { code, out, err } = await sd([
      ...words,
      ...(words[0] === 'txt2img' ? ['--skip_save', '--outdir', '/tmp/sd-cli-unused'] : []),
    ]);
    assert.equal(code, 2, `${words.join(' ')}: ${err}`);
    assert.equal(out, '');
    assert.match(err, /^sd: [^\n]+ \[(usage|invalid-argument)\]\n$/, words.join(' '));
  }
});

test('a wrong value names its option as it was typed, in every command', async () => {
  for (const { name, load } of commands) {
    for (const option of Object.values((await load()).options)) {
      const wrong = ['', 'nonsense', ':'].find((value) => {
        try {
          option.parse?.(value);
          return false;
        } catch {
          return true;
        }
      });
      if (wrong === undefined) continue;
      for (const flag of option.flags) {
        const { code, out, err } = await sd([name, flag, wrong]);
        assert.equal(code, 2, `${name} ${flag}`);
        assert.equal(out, '');
        assert.ok(err.startsWith(`sd: ${flag} `) && err.endsWith(' [usage]\n'), `${name} ${flag}: ${err}`);
        assert.equal(err.match(/\n/g)?.length, 1, err);
      }
    }
  }
});

test('unknown and incomplete options say what to do', async () => {
  const err = async (...words: string[]): Promise<string> => (await sd(words)).err;
  assert.equal(await err('txt2img', 'x', '--steps', 'abc'), 'sd: --steps must be a whole number, got "abc". [usage]\n');
  assert.equal(await err('txt2img', 'x', '--ddim-steps=0'), 'sd: --ddim-steps must be at least 1, got 0. [usage]\n');
  assert.equal(
    await err('txt2img', 'x', '--stepz', '3'),
    'sd: Unknown option "--stepz". Did you mean --steps? See sd txt2img --help. [usage]\n',
  );
  assert.equal(await err('txt2im'), 'sd: Unknown command "txt2im". Did you mean txt2img? See sd --help. [usage]\n');
  assert.equal(await err('tokenize', 'x', '--length'), 'sd: --length needs a value. See sd tokenize --help. [usage]\n');
  assert.equal(await err('inspect'), 'sd: The argument <file> is required. See sd inspect --help. [usage]\n');
  assert.equal(
    await err('inspect', 'a', 'b'),
    'sd: Too many arguments: expected 1, got 2. See sd inspect --help. [usage]\n',
  );
});

test('with --json an error is an object with code and message', async () => {
  const { code, out } = await sd(['inspect', '--json', '/nowhere/model.ckpt']);
  assert.equal(code, 1);
  assert.deepEqual(JSON.parse(out), {
    error: { code: 'file-not-found', message: '/nowhere/model.ckpt does not exist.' },
  });
  const wrong = await sd(['txt2img', 'x', '--steps', 'many', '--json']);
  assert.equal(wrong.code, 2);
  assert.equal(JSON.parse(wrong.out).error.code, 'usage');
});

test('exit codes', () => {
  assert.equal(reportError(new StableDiffusionError('aborted', '')).exitCode, 130);
  assert.equal(reportError(new StableDiffusionError('invalid-argument', '')).exitCode, 2);
  assert.equal(reportError(new StableDiffusionError('file-corrupt', '')).exitCode, 1);
  assert.deepEqual(reportError(new TypeError('x')), { code: 'internal', message: 'x', exitCode: 1 });
});

test('--verbose says where an error came from', async () => {
  const { err } = await sd(['inspect', '/nowhere', '--verbose']);
  assert.match(err, /\n\s+at /);
  assert.match(err, /caused by/);
});

test('the progress bar has the time of a step and what is left', () => {
  const written: string[] = [];
  let time = 0;
  const output = textOutput({ write: (more: string) => void written.push(more), isTerminal: true, columns: 200 });
  const progress = createProgress(output, () => time, false);
  progress.step('sampling', 1, 20);
  assert.ok(!written.join('').includes('left'), 'the first step includes loading');
  time = 4000;
  progress.step('sampling', 11, 20);
  assert.match(written.join(''), /sampling 11\/20 █+·+ 0\.40 s a step, 3\.6 s left/);
  assert.equal(stepLine('x', 1, 2, undefined), 'x 1/2 ████████████············');
  assert.deepEqual([0.079, 3.25, 12.4, 200, 3900].map(seconds), ['0.08 s', '3.3 s', '12 s', '3 min 20 s', '1 h 5 min']);
  written.length = 0;
  createProgress({ ...output, isTerminal: false }, () => 0, false).stage('x');
  createProgress(output, () => 0, true).stage('x');
  assert.deepEqual(written, []);
});

test('timings of the parts of a run', () => {
  let time = 0;
  const watch = createStopwatch(() => time);
  time = 500;
  watch.end('load');
  watch.begin('sampling');
  for (time of [1500, 1600, 1700]) watch.step();
  watch.end();
  assert.deepEqual(watch.timings(), { load: 0.5, sampling: 1.2, step: 0.1, total: 1.7 });
});

for (const shell of ['bash', 'zsh', 'fish']) {
  test(`completion for ${shell}`, async (context) => {
    const { code, out } = await sd(['completion', shell]);
    assert.equal(code, 0);
    for (const { name } of commands) assert.ok(out.includes(name), name);
    for (const proposed of ['ddim_steps', 'verbose', 'compvis', 'dpmpp-2m-sde', 'sgm_uniform', 'bash zsh fish'])
      assert.ok(out.includes(proposed), proposed);
    const file = join(temporaryFolder(context), 'completion');
    writeFileSync(file, out);
    const check = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    if (!check.error) assert.equal(check.stderr, '');
  });
}
