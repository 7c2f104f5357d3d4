/** The literal types of names are those of the tables. */

import assert from 'node:assert/strict';
import test from 'node:test';
import {
  a1111SamplerLabels,
  comfySamplerNames,
  ownSamplerNames,
  type SamplerName,
  scheduleNames,
} from '../../src/diffusion/name-literals.ts';
import { a1111Samplers, comfySamplers, namedSampling } from '../../src/diffusion/sampler-names.ts';
import { samplers } from '../../src/diffusion/samplers/index.ts';
import { sigmaSchedules } from '../../src/diffusion/sigma-schedules/index.ts';

const first = (rows: readonly { readonly names: readonly string[] }[]): string[] => [
  ...new Set(rows.map(({ names: [name = ''] }) => name)),
];

test('every name of the tables is a literal', () => {
  assert.deepEqual(
    ownSamplerNames,
    samplers.map(({ name }) => name),
  );
  assert.deepEqual(a1111SamplerLabels, first(a1111Samplers));
  assert.deepEqual(comfySamplerNames, first(comfySamplers));
  assert.deepEqual(scheduleNames, [...Object.keys(sigmaSchedules), 'uniform', 'quad']);
});

test('every literal, and other text, is a name', () => {
  const names: readonly SamplerName[] = [
    ...ownSamplerNames,
    ...a1111SamplerLabels,
    ...comfySamplerNames,
    'DPM++ 2M Karras',
    'k_euler',
  ];
  for (const name of names) assert.ok(namedSampling(name).sampler, name);
});
