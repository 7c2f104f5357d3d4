/** Values, axes and cells of A1111's X/Y/Z plot and prompt matrix (scripts/xyz_grid.py, scripts/prompt_matrix.py, v1.10.1). */

import assert from 'node:assert/strict';
import test from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { axesOf, axisLegend, orderedPrompt } from '../../src/generation/plot/axes.ts';
import { axisValues, csvCells } from '../../src/generation/plot/axis-values.ts';
import { plotCells } from '../../src/generation/plot/cells.ts';
import { promptMatrix } from '../../src/generation/plot/matrix.ts';
import { shellWords } from '../../src/generation/plot/shell-words.ts';

const valuesOf = (text: string, kind: Parameters<typeof axisValues>[1]) => axisValues(csvCells(text), kind);
const isInvalid = (error: unknown): boolean =>
  error instanceof StableDiffusionError && ['invalid-argument', 'too-large'].includes(error.code);

test('whole numbers: lists, ranges, ranges by steps, ranges by their number', () => {
  assert.deepEqual(valuesOf('1-3, 7', 'whole'), [1, 2, 3, 7]);
  assert.deepEqual(valuesOf('1-5 (+2)', 'whole'), [1, 3, 5]);
  assert.deepEqual(valuesOf('10-5 (-3)', 'whole'), [10, 7]);
  assert.deepEqual(valuesOf('1-10 [5]', 'whole'), [1, 3, 5, 7, 10]);
  assert.deepEqual(valuesOf('-1', 'whole'), [-1]);
});

test('numbers with a point: the end of a range counts', () => {
  assert.deepEqual(valuesOf('4-8 (+2)', 'real'), [4, 6, 8]);
  assert.deepEqual(valuesOf('0.0-1.0 [6]', 'real'), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1]);
  assert.deepEqual(valuesOf('1-3', 'real'), [1, 2, 3]);
});

test('text: quoted cells hold commas, spaces around cells go', () => {
  assert.deepEqual(csvCells(' a , "b, c" ,d"e'), ['a', 'b, c', 'd"e']);
  assert.deepEqual(csvCells('"say ""hi""", x'), ['say "hi"', 'x']);
  assert.deepEqual(csvCells(''), []);
  assert.deepEqual(valuesOf('a, b, c', 'order').length, 6);
});

test('a value that is not a number, too many values and an endless range are refused', () => {
  for (const [text, kind] of [
    ['x', 'whole'],
    ['1.5', 'whole'],
    ['', 'real'],
    ['1-9 (+0)', 'whole'],
    ['1-100000', 'whole'],
    ['0-1 [99999]', 'real'],
    ['a,b,c,d,e,f,g,h', 'order'],
  ] as const)
    assert.throws(() => axisValues(text === '' ? [''] : csvCells(text), kind), isInvalid, `${text} ${kind}`);
});

test('the axes of a task are counted as A1111 counts them', () => {
  const labels = axesOf('txt2img').map(({ label }) => label);
  assert.deepEqual(labels.slice(0, 9), [
    'Nothing',
    'Seed',
    'Var. seed',
    'Var. strength',
    'Steps',
    'Hires steps',
    'CFG Scale',
    'Prompt S/R',
    'Prompt order',
  ]);
  assert.equal(labels.filter((label) => label === 'Sampler').length, 1);
  assert.equal(axesOf('img2img')[6]?.label, 'Image CFG Scale');
});

test('legends: numbers as Python prints them, some values alone', () => {
  const legend = (label: string, value: number | string) =>
    axisLegend(axesOf('txt2img').find((axis) => axis.label === label) ?? assert.fail(label), value);
  assert.equal(legend('CFG Scale', 7), 'CFG Scale: 7.0');
  assert.equal(legend('Steps', 7), 'Steps: 7');
  assert.equal(legend('Sampler', 'Euler a'), 'Euler a');
  assert.equal(legend('Nothing', 0), '');
});

test('prompt order exchanges words in place; a matrix combines the parts', () => {
  assert.equal(orderedPrompt('a red, big, old house', ['old', 'red']), 'a old, big, red house');
  assert.throws(() => orderedPrompt('a house', ['red']), isInvalid);
  assert.deepEqual(promptMatrix('a |b, |c').prompts, ['a ', 'a , b', 'a , c', 'a , b, c']);
  assert.deepEqual(promptMatrix('a|b', { atStart: true, delimiter: ' ' }).prompts, ['a', 'b a']);
  assert.throws(() => promptMatrix('|'.repeat(11)), isInvalid);
});

test('cells are requests, row by row', () => {
  const { cells, columns, rows, checkpoints, grids } = plotCells(
    { task: 'txt2img', prompt: 'a red apple' },
    { label: 'steps', values: '5,10' },
    { label: 'Size', values: '64x96' },
  );
  assert.deepEqual(cells, [
    { task: 'txt2img', prompt: 'a red apple', steps: 5, width: 64, height: 96 },
    { task: 'txt2img', prompt: 'a red apple', steps: 10, width: 64, height: 96 },
  ]);
  assert.deepEqual([columns, rows], [['Steps: 5', 'Steps: 10'], ['Size: 64x96']]);
  assert.deepEqual([checkpoints, grids], [[undefined, undefined], ['']]);
  const models = { label: 'Checkpoint name', values: 'a.ckpt, b.ckpt' };
  const three = plotCells({ task: 'txt2img' }, models, undefined, { label: 'Seed', values: '1,2' });
  assert.deepEqual(three.checkpoints, ['a.ckpt', 'b.ckpt', 'a.ckpt', 'b.ckpt']);
  assert.deepEqual(
    three.cells,
    [1, 1, 2, 2].map((seed) => ({ task: 'txt2img', seed })),
  );
  assert.deepEqual(
    [three.columns, three.grids],
    [
      ['a.ckpt', 'b.ckpt'],
      ['Seed: 1', 'Seed: 2'],
    ],
  );
  assert.throws(() => plotCells({ task: 'txt2img' }, { label: 'VAE', values: 'x' }, undefined), isInvalid);
  const denoising = { label: 'Denoising', values: '0.5' };
  assert.throws(() => plotCells({ task: 'txt2img' }, denoising, undefined), /needs an initial image/);
});

test("lines are split as Python's shlex splits them", () => {
  assert.deepEqual(shellWords(`--prompt "a \\"b\\"" c\\ d 'e f' ""`), ['--prompt', 'a "b"', 'c d', 'e f', '']);
  assert.equal(shellWords('"open'), undefined);
});
