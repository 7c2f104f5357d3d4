/** Settings of InvokeAI, Fooocus and SwarmUI, as they lie in their pictures. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { writePngText } from '../../src/image/metadata/png-text.ts';

const plain = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'png' });
const withText = (keyword: string, value: unknown): Uint8Array =>
  writePngText(plain, [[keyword, typeof value === 'string' ? value : JSON.stringify(value)]]);
const settingsIn = (bytes: Uint8Array) => parseInfotext(readImageMetadata(bytes).parameters ?? '');
const some = (found: Readonly<Record<string, unknown>>, expected: Readonly<Record<string, unknown>>): void =>
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((key) => [key, found[key]])), expected);

const invoke = {
  generation_mode: 'txt2img',
  positive_prompt: 'a red house, (roof)1.2',
  negative_prompt: 'blurry: yes',
  width: 512,
  height: 768,
  seed: 4_294_967_295,
  cfg_scale: 7.5,
  steps: 30,
  scheduler: 'dpmpp_2m_k',
  clip_skip: 1,
  strength: 0.6,
  model: { key: 'a1b2', hash: 'blake3:1', name: 'stable-diffusion-v1-5', base: 'sd-1', type: 'main' },
  loras: [{ model: { name: 'ink' }, weight: 0.75 }],
  app_version: '4.2.9',
};

test('InvokeAI', () => {
  const bytes = withText('invokeai_metadata', invoke);
  assert.equal(readImageMetadata(bytes).source, 'invokeai_metadata');
  some(settingsIn(bytes), {
    Prompt: 'a red house, (roof)1.2',
    'Negative prompt': 'blurry: yes',
    Steps: '30',
    Sampler: 'DPM++ 2M',
    'Schedule type': 'Karras',
    'CFG scale': '7.5',
    Seed: '4294967295',
    'Size-1': '512',
    'Size-2': '768',
    Model: 'stable-diffusion-v1-5',
    'Denoising strength': '0.6',
    'Clip skip': '2',
    'Lora weights': 'ink: 0.75',
    Version: 'InvokeAI 4.2.9',
  });
  // Version 3 names models otherwise; diffusers' samplers without an equal keep their names.
  some(
    settingsIn(
      withText('invokeai_metadata', {
        ...invoke,
        scheduler: 'deis',
        model: { model_name: 'dream', base_model: 'sd-1' },
        loras: [{ lora: { model_name: 'ink' }, weight: 1 }],
      }),
    ),
    { Sampler: 'deis', Model: 'dream', 'Lora weights': 'ink: 1' },
  );
});

test('InvokeAI 2', () => {
  const told = {
    model_weights: 'stable-diffusion-1.5',
    model_hash: 'cc6cb27103417325ff94f52b7a5d2dde45a7515b25c255d8e396c90014281516',
    app_version: '2.3.5',
    image: {
      prompt: [{ prompt: 'a red house [blurry, dark]', weight: 1 }],
      steps: 50,
      cfg_scale: 7.5,
      height: 512,
      width: 512,
      seed: 17,
      sampler: 'k_euler_a',
    },
  };
  some(settingsIn(withText('sd-metadata', told)), {
    Prompt: 'a red house',
    'Negative prompt': 'blurry, dark',
    Steps: '50',
    Sampler: 'Euler a',
    Seed: '17',
    'Size-1': '512',
    'Model hash': 'cc6cb27103',
    Model: 'stable-diffusion-1.5',
  });
});

const fooocus = {
  base_model: 'juggernautXL_v8Rundiffusion',
  base_model_hash: 'aeb7e9e689',
  guidance_scale: 4,
  loras: [['sd_xl_offset', 0.1, '4852686128']],
  negative_prompt: '',
  prompt: 'a red house',
  refiner_model: 'None',
  refiner_switch: 0.5,
  resolution: '(896, 1152)',
  sampler: 'dpmpp_2m_sde_gpu',
  scheduler: 'karras',
  seed: '123456789',
  sharpness: 2,
  steps: 30,
  styles: "['Fooocus V2', 'Fooocus Sharp']",
  version: 'Fooocus v2.5.5',
};
const expected = {
  Prompt: 'a red house',
  Steps: '30',
  Sampler: 'DPM++ 2M SDE',
  'Schedule type': 'Karras',
  'CFG scale': '4',
  Seed: '123456789',
  'Size-1': '896',
  'Size-2': '1152',
  Model: 'juggernautXL_v8Rundiffusion',
  Styles: "['Fooocus V2', 'Fooocus Sharp']",
  Refiner: undefined,
  'Lora weights': 'sd_xl_offset: 0.1',
};

/** A JPEG with a user comment in the main folder, as Pillow writes Fooocus's. */
async function withMainComment(comment: string): Promise<Uint8Array> {
  const jpeg = await nodeImageCodec.encode(createImage(8, 8, 3), { format: 'jpeg' });
  const body = Buffer.from(`${comment}\0`);
  const head = Buffer.from(
    '457869660000' + '4d4d002a00000008' + '0001' + '92860002' + '00000000' + '0000001a' + '00000000',
    'hex',
  );
  head.writeUInt32BE(body.length, 20);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(2 + head.length + body.length);
  return Buffer.concat([jpeg.subarray(0, 2), Buffer.of(0xff, 0xe1), length, head, body, jpeg.subarray(2)]);
}

test('Fooocus, in PNG and JPEG, and its older labels', async () => {
  some(settingsIn(withText('parameters', fooocus)), expected);
  some(settingsIn(await withMainComment(JSON.stringify(fooocus))), expected);
  const labels = {
    Prompt: 'a red house',
    'Negative Prompt': 'blurry',
    Resolution: '(512, 640)',
    'Guidance Scale': 7.0,
    'Base Model': 'sd_xl_base.safetensors',
    'Refiner Model': 'sd_xl_refiner.safetensors',
    'Refiner Switch': 0.8,
    Sampler: 'euler',
    Scheduler: 'sgm_uniform',
    Seed: 5,
    'LoRA 1': 'True : ink.safetensors : 0.5',
    'LoRA 2': 'False : off.safetensors : 0.5',
    Version: 'v2.1.8',
  };
  some(settingsIn(withText('parameters', labels)), {
    'Negative prompt': 'blurry',
    'Size-2': '640',
    Sampler: 'Euler',
    'Schedule type': 'SGM Uniform',
    Model: 'sd_xl_base',
    Refiner: 'sd_xl_refiner',
    'Lora weights': 'ink: 0.5',
  });
});

test('SwarmUI', () => {
  const told = {
    sui_image_params: {
      prompt: 'a cat',
      negativeprompt: 'dog',
      model: 'OfficialStableDiffusion/sd_xl_base_1.0',
      seed: 1,
      steps: 20,
      cfgscale: 7,
      width: 1024,
      height: 1024,
      sampler: 'euler_ancestral',
      loras: ['folder/ink'],
      loraweights: ['0.8'],
      swarm_version: '0.9.3.1',
    },
    sui_extra_data: { date: '2026-01-25' },
  };
  some(settingsIn(withText('parameters', told)), {
    Prompt: 'a cat',
    'Negative prompt': 'dog',
    Sampler: 'Euler a',
    Model: 'sd_xl_base_1.0',
    'Lora weights': 'ink: 0.8',
    Version: 'SwarmUI 0.9.3.1',
  });
});

test('what is damaged, of another kind or of a wrong type stays what it is, and is no error', () => {
  for (const text of [
    '{',
    '[]',
    '{"guidance_scale"',
    '{red|blue} house',
    '{"prompt":"a"}',
    '{"sui_image_params":[]}',
    'null',
  ])
    assert.equal(readImageMetadata(withText('parameters', text)).parameters, text);
  for (const text of ['{', '{}', '[1]', '"a"'])
    assert.equal(readImageMetadata(withText('invokeai_metadata', text)).parameters, undefined);
  const odd = {
    ...invoke,
    steps: [30],
    scheduler: {},
    seed: null,
    loras: { a: 1 },
    model: [],
    width: 'x',
    strength: { a: 1 },
  };
  const found = settingsIn(withText('invokeai_metadata', odd));
  assert.equal(found['Prompt'], invoke.positive_prompt);
  for (const key of ['Steps', 'Seed', 'Size-1', 'Model', 'Denoising strength', 'Lora weights'])
    assert.equal(found[key], undefined, key);
});

test('our own record and A1111 texts are read as before', () => {
  const text = 'a cat\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1, Size: 8x8';
  assert.deepEqual(readImageMetadata(withText('parameters', text)).source, undefined);
  assert.deepEqual(readImageMetadata(withText('parameters', text)).parameters, text);
  const both = writePngText(withText('prompt', graph), [['parameters', text]]);
  assert.equal(readImageMetadata(both).parameters, text);
});

const graph = {
  '3': {
    class_type: 'KSampler',
    inputs: {
      seed: 156_680_208_700_286,
      steps: 20,
      cfg: 8,
      sampler_name: 'dpmpp_2m',
      scheduler: 'karras',
      denoise: 0.8,
      model: ['10', 0],
      positive: ['6', 0],
      negative: ['7', 0],
      latent_image: ['5', 0],
    },
  },
  '4': { class_type: 'CheckpointLoaderSimple', inputs: { ckpt_name: 'sd15/v1-5.safetensors' } },
  '5': { class_type: 'EmptyLatentImage', inputs: { width: 512, height: 768, batch_size: 1 } },
  '6': { class_type: 'CLIPTextEncode', inputs: { text: 'a red house', clip: ['10', 1] } },
  '7': { class_type: 'CLIPTextEncode', inputs: { text: ['11', 0], clip: ['10', 1] } },
  '10': {
    class_type: 'LoraLoader',
    inputs: { lora_name: 'ink.safetensors', strength_model: 0.7, strength_clip: 1, model: ['4', 0], clip: ['4', 1] },
  },
  '11': { class_type: 'PrimitiveString', inputs: { value: 'blurry' } },
};

test("ComfyUI's graph: the settings of the sampler that begins", () => {
  const expected = {
    Prompt: 'a red house',
    'Negative prompt': 'blurry',
    Steps: '20',
    Sampler: 'DPM++ 2M',
    'Schedule type': 'Karras',
    Seed: '156680208700286',
    'Size-2': '768',
    Model: 'v1-5',
    'Denoising strength': '0.8',
    'Lora weights': 'ink: 0.7',
  };
  some(settingsIn(withText('prompt', graph)), expected);
  const second = {
    class_type: 'KSampler',
    inputs: { ...graph['3'].inputs, seed: 1, steps: 9, latent_image: ['21', 0] },
  };
  const upscale = { class_type: 'LatentUpscale', inputs: { samples: ['3', 0], width: 1024, height: 1536 } };
  some(settingsIn(withText('prompt', { '2': second, '21': upscale, ...graph })), expected);
});

test('graphs that go in a circle, or sample nothing, are no error', () => {
  const circle = { ...graph, '10': { class_type: 'LoraLoader', inputs: { model: ['10', 0], lora_name: 'x' } } };
  assert.equal(settingsIn(withText('prompt', circle))['Prompt'], 'a red house');
  for (const value of [
    {},
    { '1': null },
    { '1': { class_type: 'KSampler' } },
    { '1': { class_type: 'SaveImage', inputs: {} } },
  ])
    assert.doesNotThrow(() => readImageMetadata(withText('prompt', value)));
  assert.equal(readImageMetadata(withText('prompt', 'a red house')).parameters, undefined);
});
