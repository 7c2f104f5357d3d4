/** DeepFloyd IF by the command line: its stages in one command, their records, the safety heads, the visible mark, and what is refused. */

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, after, test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { ifStageOne, ifStageTwo, writeIfFolder } from '../if-models.ts';
import { sd, temporaryFolder } from './run-cli.ts';

let folder: string;
let one: string;
let two: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sd-if-'));
  [one, two] = [join(folder, 'one'), join(folder, 'two')];
  for (const [path, stage] of [
    [one, ifStageOne],
    [two, ifStageTwo],
  ] as const) {
    mkdirSync(path);
    await writeIfFolder(path, stage);
  }
});
after(() => rmSync(folder, { recursive: true, force: true }));

const quick = ['--threads', '1', '--no-safety', '--no-show', '--quiet'];
const open = async (path: string) => nodeImageCodec.decode(new Uint8Array(readFileSync(path)));
const recordIn = (path: string) =>
  readImageMetadata(new Uint8Array(readFileSync(path))).record as never as Record<string, unknown>;

async function made(words: readonly string[]): Promise<void> {
  const { code, err } = await sd([...words, ...quick]);
  assert.equal(code, 0, err);
}

test("both stages in one command: the picture is the second one's, and is made again from its record", async (context) => {
  const out = join(temporaryFolder(context), 'a.png');
  await made([
    'txt2img',
    'a red apple',
    '--model',
    one,
    '--enlarge',
    two,
    '--steps',
    '3',
    '--enlarge-steps',
    '2',
    '--enlarge-noise',
    '100',
    '-o',
    out,
  ]);
  const { width, height } = await open(out);
  assert.deepEqual([width, height], [32, 32]);
  const { enlarge, steps, guidanceScale, sampler } = recordIn(out);
  assert.deepEqual(enlarge, [{ model: 'two', steps: 2, noiseLevel: 100 }]);
  assert.deepEqual([steps, guidanceScale, sampler], [3, 7, 'DDPMScheduler']);
  const again = await sd([
    'replay',
    out,
    '--model',
    one,
    '--enlarge',
    two,
    '--skip_save',
    '--no-safety',
    '--quiet',
    '--threads',
    '1',
  ]);
  assert.equal(again.code, 0, again.err);
  assert.match(again.out, /equal/);
});

test('a picture and a mask go through both stages', async (context) => {
  const folder = temporaryFolder(context);
  const [start, out] = [join(folder, 'start.png'), join(folder, 'painted.png')];
  const stages = ['--model', one, '--enlarge', two, '--steps', '2', '--enlarge-steps', '2', '--no-watermark'];
  await made(['txt2img', 'a house', ...stages, '-o', start]);
  await made([
    'img2img',
    'a red house',
    '--image',
    start,
    '--strength',
    '0.5',
    ...stages,
    '-o',
    join(folder, 'image.png'),
  ]);
  await made(['inpaint', 'a door', '--image', start, '--mask', start, ...stages, '-o', out]);
  const [before, after] = [await open(start), await open(out)];
  assert.deepEqual([after.width, after.height], [32, 32]);
  // What the mask keeps is the given picture.
  const grey = (i: number): number =>
    (19595 * (before.data[i] as number) +
      38470 * (before.data[i + 1] as number) +
      7471 * (before.data[i + 2] as number) +
      2 ** 15) >>
    16;
  const kept = Array.from({ length: 32 * 32 }, (_, i) => 3 * i).filter((i) => grey(i) < 128);
  assert.ok(kept.length > 0);
  for (const i of kept) assert.ok(Math.abs((after.data[i] as number) - (before.data[i] as number)) <= 1);
});

test('the second stage alone needs an encoded text, a list of timesteps is visited, and the mark is visible', async (context) => {
  const folder = temporaryFolder(context);
  const [out, plain] = [join(folder, 'b.png'), join(folder, 'plain.png')];
  const line = ['txt2img', 'a red apple', '--model', one, '--W', '64', '--H', '64', '--timesteps', '900,300,20'];
  await made([...line, '-o', out]);
  assert.equal(recordIn(out)['steps'], 3);
  await made([...line, '--no-watermark', '-o', plain]);
  const [marked, unmarked] = [await open(out), await open(plain)];
  const changed = Array.from({ length: 64 * 64 }, (_, i) => i).filter(
    (i) => marked.data[3 * i] !== unmarked.data[3 * i] || marked.data[3 * i + 1] !== unmarked.data[3 * i + 1],
  );
  assert.ok(changed.length > 0 && changed.length <= 9, `${changed.length} pixels changed`);
  assert.deepEqual([...marked.data.subarray(3 * (changed[0] as number), 3 * (changed[0] as number) + 3)], [255, 0, 0]);
  const alone = await sd(['img2img', 'a', '--model', two, '--image', out, ...quick]);
  assert.match(alone.err, /saved without its text encoder/);
});

test('the heads of the safety checker make a picture black', async (context) => {
  const out = join(temporaryFolder(context), 'c.png');
  const { code, err } = await sd([
    'txt2img',
    'a',
    '--model',
    one,
    '--steps',
    '1',
    '--no-watermark',
    '--no-show',
    '--quiet',
    '--threads',
    '1',
    '-o',
    out,
  ]);
  assert.equal(code, 0, err);
  const { data } = await open(out);
  assert.equal(
    data.some((value) => value > 0),
    !/flagged/.test(err),
  );
});

test('what does not fit is refused in one line', async () => {
  const refusal = async (words: readonly string[], pattern: RegExp): Promise<void> => {
    const { code, err } = await sd([...words, ...quick]);
    assert.notEqual(code, 0);
    assert.match(err, pattern);
    assert.equal(err.trim().split('\n').length, 1, err);
  };
  const run = ['txt2img', 'a', '--model', one];
  await refusal(['txt2img', 'a', '--model', two], /makes its pictures from a picture/);
  await refusal([...run, '--enlarge', one], /enlarges no pictures/);
  await refusal([...run, '--enlarge', two, '--n_iter', '2'], /one batch/);
  await refusal([...run, '--enlarge-steps', '3'], /--enlarge-steps has 1 numbers/);
  await refusal([...run, '--timesteps', '10,20'], /descend/);
  await refusal([...run, '--timesteps', 'fast28'], /fast27/);
  await refusal([...run, '--sampler', 'euler', '--timesteps', '20,10'], /takes no list of timesteps/);
  await refusal([...run, '--free-u', '1.1,1.2,0.9,0.2'], /DeepFloyd IF/);
});
