/** The settings text of a record has A1111's names, and says nothing of where the model's file is. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRequest } from '../../src/generation/check-request.ts';
import { modelName, recordedModel } from '../../src/generation/model-name.ts';
import { type GenerationRecord, programName } from '../../src/generation/record.ts';
import { recordInfotext } from '../../src/generation/record-infotext.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';

function infotext(request: object, facts: Partial<GenerationRecord> = {}) {
  const complete = checkRequest({ task: 'txt2img', width: 128, height: 64, prompt: 'a red apple', ...request });
  const record = {
    sampler: 'ddim',
    ...complete,
    version: 2,
    program: programName,
    model: recordedModel('/home/alice/models/sd-v1-4.safetensors'),
    modelHash: '0123456789abcdef'.repeat(4),
    precision: 'float32',
    digests: {},
    index: 0,
    iteration: 1,
    ...facts,
  } as GenerationRecord;
  const text = recordInfotext(record);
  assert.doesNotMatch(text, /alice|Adapters/);
  return parseInfotext(text);
}

test('model: its name and the ten digits that A1111 shows of its hash', () => {
  const fields = infotext({});
  assert.deepEqual([fields['Model'], fields['Model hash']], ['sd-v1-4', '0123456789']);
});

test("samplers and schedules go by A1111's labels, whatever they were called", () => {
  const labels = (request: object) => {
    const fields = infotext(request);
    return [fields['Sampler'], fields['Schedule type']];
  };
  assert.deepEqual(labels({ sampler: 'euler-ancestral' }), ['Euler a', 'Uniform']);
  assert.deepEqual(labels({ sampler: 'DPM++ 2M Karras' }), ['DPM++ 2M', 'Karras']);
  assert.deepEqual(labels({ sampler: 'dpmpp_2m_sde', schedule: 'sgm_uniform' }), ['DPM++ 2M SDE', 'SGM Uniform']);
  assert.equal(labels({ sampler: 'ddim' })[0], 'DDIM');
  assert.equal(labels({ sampler: 'plms' })[0], 'PLMS');
  assert.equal(labels({ sampler: 'TCDScheduler' })[0], 'TCDScheduler');
});

test('LoRAs are in the prompt, as A1111 writes them', () => {
  const fields = infotext({}, { adapters: ['lora:style:0.8', 'embedding:cat'] });
  assert.equal(fields['Prompt'], 'a red apple <lora:style:0.8>');
});

test('numbers as A1111 writes them; a seed beyond 2^53 to its last digit', () => {
  const fields = infotext({ seed: 2n ** 64n - 1n, guidanceScale: 7, noise: 'a1111-nv', clipSkip: 2 });
  assert.deepEqual(
    [fields['Seed'], fields['CFG scale'], fields['RNG'], fields['Clip skip'], fields['Size-1']],
    ['18446744073709551615', '7.0', 'NV', '2', '128'],
  );
  assert.equal(infotext({ task: 'img2img', strength: 0.4 })['Denoising strength'], '0.4');
});

test('a record names a model by a path below the current directory, or by its name', () => {
  const names = [
    ['models/pocket.safetensors', 'models/pocket.safetensors'],
    ['/home/alice/pocket.safetensors', 'pocket.safetensors'],
    ['../alice/pocket.ckpt', 'pocket.ckpt'],
    ['C:\\Users\\alice\\pocket.ckpt', 'pocket.ckpt'],
    ['https://example.org/alice/pocket.safetensors?key=1', 'pocket.safetensors'],
    ['/home/alice/tiny-sd/', 'tiny-sd'],
  ] as const;
  for (const [label, name] of names) assert.equal(recordedModel(label), name);
  assert.equal(modelName('models/v1.5-pruned.safetensors'), 'v1.5-pruned');
});
