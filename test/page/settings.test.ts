/** What the page offers and reads, without a browser: its labels are names that the library knows, and its texts mean what they say. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namedSampling } from '../../src/diffusion/sampler-names.ts';
import { weighed } from '../../web/src/create/word-weights.ts';
import { axes, axisValues, numbersOf } from '../../web/src/grid/axes.ts';
import {
  checkedSettings,
  defaultSettings,
  hasOwnSpacing,
  isAnySeed,
  samplerLabels,
  scheduleLabels,
  settingRows,
} from '../../web/src/settings/settings.ts';

test("every sampler and spacing of the page is the library's", () => {
  for (const label of samplerLabels) {
    const { sampler } = namedSampling(label, { peer: 'a1111' });
    assert.equal(sampler.space === 'timestep', hasOwnSpacing(label), label);
  }
  for (const label of scheduleLabels)
    assert.ok(namedSampling('Euler', { peer: 'a1111', schedule: label }).schedule, label);
});

test('numbers of an axis: lists, ranges by steps and by count, as A1111 writes them', () => {
  assert.deepEqual(numbersOf('1, 4,9'), [1, 4, 9]);
  assert.deepEqual(numbersOf('1-4'), [1, 2, 3, 4]);
  assert.deepEqual(numbersOf('10-30 (+10)'), [10, 20, 30]);
  assert.deepEqual(numbersOf('5-1 (-2)'), [5, 3, 1]);
  assert.deepEqual(numbersOf('0-1 [5]'), [0, 0.25, 0.5, 0.75, 1]);
  assert.deepEqual(numbersOf('0.1-0.3 (+0.1), 1'), [0.1, 0.2, 0.3, 1]);
  assert.throws(() => numbersOf('many'), /is not a number/);
  assert.throws(() => numbersOf('1-9 (+0)'), /is not a range/);
});

test('values of an axis are settings, names in any case, words of the prompt', () => {
  const context = {
    settings: { ...defaultSettings, prompt: 'a red apple' },
    samplers: samplerLabels,
    schedules: scheduleLabels,
    models: ['pocket'],
  };
  assert.deepEqual(
    axisValues('steps', '5, 10', context).map(({ change }) => change),
    [{ steps: 5 }, { steps: 10 }],
  );
  assert.deepEqual(
    axisValues('sampler', 'euler, ddim', context).map(({ label }) => label),
    ['Euler', 'DDIM'],
  );
  assert.deepEqual(
    axisValues('words', 'apple, pear', context).map(({ change }) => change.prompt),
    ['a red apple', 'a red pear'],
  );
  assert.throws(() => axisValues('words', 'plum, pear', context), /not in the prompt/);
  assert.throws(() => axisValues('strength', '2', context), /outside 0 … 1/);
  assert.throws(() => axisValues('seed', '1-99', context), /at most 24/);
  assert.throws(() => axisValues('steps', '', context), /at least one value/);
  for (const [name, axis] of Object.entries(axes))
    assert.ok(axis.values(axis.start(context), context).length > 0, name);
});

test('settings of any origin are made whole', () => {
  assert.deepEqual(checkedSettings({}), defaultSettings);
  const odd = checkedSettings({
    steps: '1e9',
    guidanceScale: Number.NaN,
    seed: 1.6,
    sampler: '',
    prompt: 5,
    width: -3,
    strength: '0.4',
  });
  assert.deepEqual(
    [odd.steps, odd.guidanceScale, odd.seed, odd.sampler, odd.prompt, odd.width, odd.strength],
    [150, defaultSettings.guidanceScale, 2, defaultSettings.sampler, '', 0, 0.4],
  );
  assert.deepEqual(
    [checkedSettings({ promptSyntax: 'plain' }).promptSyntax, checkedSettings({ promptSyntax: 'odd' }).promptSyntax],
    ['plain', 'a1111'],
  );
  assert.deepEqual(
    settingRows({ ...defaultSettings, prompt: 'a (red) apple', promptSyntax: 'plain' }, 'txt2img').find(
      ([label]) => label === 'Syntax',
    ),
    ['Syntax', 'plain'],
  );
  assert.deepEqual(
    settingRows({ ...defaultSettings, schedule: 'Karras' }, 'img2img').find(([label]) => label === 'Sampler'),
    ['Sampler', 'DPM++ 2M, Karras'],
  );
});

test('words weigh more and less by Ctrl and the arrows, as in A1111', () => {
  /** The selection lies between two underscores, or is where the only one is. */
  const press = (marked: string, ...directions: readonly (1 | -1)[]): string | undefined => {
    let [start, end] = [marked.indexOf('_'), marked.lastIndexOf('_')];
    let text = marked.replaceAll('_', '');
    if (end > start) end--;
    for (const direction of directions) {
      const edited = weighed(text, start, end, direction);
      if (!edited) return undefined;
      ({ text, start, end } = edited);
    }
    return `${text.slice(0, start)}_${text.slice(start, end)}_${text.slice(end)}`;
  };
  assert.equal(press('a _red_ apple', 1), 'a (_red_:1.1) apple');
  assert.equal(press('a _red_ apple', 1, 1), 'a (_red_:1.2) apple');
  assert.equal(press('a _red_ apple', -1), 'a (_red_:0.9) apple');
  assert.equal(press('a _red_ apple', 1, -1), 'a _red_ apple', 'a weight of 1 needs no brackets');
  assert.equal(press('a r_ed, apple', 1), 'a (_red_:1.1), apple', 'the word at the cursor');
  assert.equal(press('a (red ap_ple:1.3), pear', 1), 'a (_red apple_:1.4), pear', 'the brackets around the cursor');
  assert.equal(press('a _red apple _pear', 1), 'a (_red apple_:1.1) pear', 'without the spaces at the end');
  assert.equal(press('a _(red:1.9)_', 1), 'a (_red_:2.0)');
  assert.equal(press('a ((_red_))', 1), 'a (_red_:1.3)', 'brackets without a number become one');
  assert.equal(press('a [_red_]', -1), 'a (_red_:0.8)');
  assert.equal(
    press('a [red:gr_een:0.5]', 1),
    'a [red:(_green_:1.1):0.5]',
    'what changes at a step keeps its brackets',
  );
  assert.equal(press('a [r_ed|green]', 1), 'a [(_red_:1.1)|green]', 'and so does what alternates');
  assert.equal(press('a [_red|green_]', 1), 'a [(_red|green_:1.1)]');
  assert.equal(press('a \\(r_ed\\) apple', 1), 'a \\((_red_:1.1)\\) apple', 'brackets behind a backslash are text');
  assert.equal(press('red,_ _', 1), undefined);
  assert.equal(press('red (a:b:_1.2.3)', 1), undefined);
});

test('a seed beyond 2^53 is kept to its last digit; -1 is another one each time, and other negative seeds are seeds', () => {
  assert.equal(checkedSettings({ seed: '18446744073709551615' }).seed, '18446744073709551615');
  assert.equal(checkedSettings({ seed: '42' }).seed, 42);
  assert.equal(checkedSettings({ seed: -7 }).seed, -7);
  assert.equal(checkedSettings({ seed: '18446744073709551616' }).seed, -1);
  assert.deepEqual([isAnySeed({ seed: -1 }), isAnySeed({ seed: -7 })], [true, false]);
});
