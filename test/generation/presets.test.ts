/** Presets: what they set, what replaces them, and that every name in them exists. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { a1111SamplerLabel, schedulerLabelOf } from '../../src/diffusion/sampler-labels.ts';
import { namedSampling } from '../../src/diffusion/sampler-names.ts';
import type { TaskOptions } from '../../src/generation/inputs.ts';
import { type Preset, presetNames, presets, presetText } from '../../src/generation/presets.ts';
import { splitOptions } from '../../src/generation/split-options.ts';
import { samplerLabels } from '../../web/src/settings/settings.ts';
import { offeredPresets } from '../../web/src/settings/page-presets.ts';

const requestOf = (options: Partial<TaskOptions>, recommended?: object) =>
  splitOptions({ task: 'txt2img', prompt: 'a', ...options } as TaskOptions, recommended).request;

test('samplers and spacings of presets exist, under every convention of noise', () => {
  for (const name of presetNames) {
    const { sampler, schedule }: Preset['settings'] = presets[name].settings;
    for (const peer of [undefined, 'a1111', 'comfy'] as const)
      assert.equal(namedSampling(sampler, { peer, schedule }).schedule, schedule, `${name} ${peer}`);
  }
});

test("a preset's values replace the recommendation, and the caller's replace the preset's", () => {
  const recommended = { sampler: 'DPM++ 2M', schedule: 'karras', steps: 25, guidanceScale: 4, clipSkip: 2 };
  const pick = ({ sampler, schedule, steps, guidanceScale, eta, clipSkip }: ReturnType<typeof requestOf>) => ({
    sampler,
    schedule,
    steps,
    guidanceScale,
    eta,
    clipSkip,
  });
  assert.deepEqual(pick(requestOf({ preset: 'lcm' }, recommended)), {
    sampler: 'k-lcm',
    schedule: 'sgm_uniform',
    steps: 4,
    guidanceScale: 1,
    eta: undefined,
    clipSkip: 2,
  });
  // TCD's sampler has no spacing; the recommended one is of another sampler.
  assert.deepEqual(pick(requestOf({ preset: 'hyper', steps: 8 }, recommended)), {
    sampler: 'tcd',
    schedule: undefined,
    steps: 8,
    guidanceScale: 1,
    eta: 0.3,
    clipSkip: 2,
  });
  const own = pick(requestOf({ preset: 'lcm', sampler: 'ddim' }));
  assert.deepEqual([own.sampler, own.schedule, own.steps, own.guidanceScale], ['ddim', undefined, 4, 1]);
  assert.deepEqual(pick(requestOf({}, recommended)).steps, 25);
  assert.throws(() => requestOf({ preset: 'slow' as 'fast' }), /lcm/);
});

test('presets in words', () => {
  assert.equal(presetText('lcm'), 'sampler k-lcm, spacing sgm_uniform, 4 steps, no guidance');
  assert.equal(presetText('turbo'), 'sampler euler-ancestral, spacing sgm_uniform, 1 step, no guidance');
  assert.equal(presetText('hyper'), 'sampler tcd, 4 steps, no guidance, eta 0.3');
  assert.equal(presetText('fast'), 'sampler dpmpp-2m, spacing karras, 15 steps, guidance 6');
});

test("the page has the presets of samplers that it offers, by A1111's labels", () => {
  const offered = offeredPresets(samplerLabels);
  assert.deepEqual(
    offered.map(({ name }) => name),
    ['lcm', 'turbo', 'lightning', 'pcm', 'fast'],
  );
  for (const { name, settings } of offered) {
    const own: Preset['settings'] = presets[name as keyof typeof presets].settings;
    assert.equal(settings.sampler, a1111SamplerLabel(own.sampler));
    assert.equal(settings.schedule, schedulerLabelOf(own.schedule));
  }
  assert.deepEqual(
    offeredPresets(['Euler']).map(({ name }) => name),
    ['lightning', 'pcm'],
  );
});
