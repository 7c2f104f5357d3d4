/** ControlNet as clients use it: `webuiapi` of PyPI, unmodified (skipped without it), and what Auto-Photoshop-StableDiffusion-Plugin sends (typescripts/controlnet/entry.ts). */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type ControlServer, startControlServer } from './control-folder.ts';
import { base64Png, decode, type TestServer, testImage } from './start.ts';

const skip =
  spawnSync('python3', ['-c', 'import webuiapi']).status === 0
    ? false
    : 'python3 with webuiapi is not installed (pip install webuiapi)';
const script = fileURLToPath(new URL('./webuiapi_controlnet.py', import.meta.url));

let controlled: ControlServer;
let server: TestServer;
before(async () => {
  controlled = await startControlServer();
  ({ server } = controlled);
});
after(() => controlled.end());

test('webuiapi', { skip }, async () => {
  const { stdout } = await promisify(execFile)('python3', [script, new URL(server.url).port], { timeout: 120_000 });
  const seen = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
  const { text, ...txt2img } = seen['txt2img'] as Record<string, unknown>;
  assert.match(
    String(text),
    /^Module: canny, Model: tiny_v11_canny \[[0-9a-f]{8}\], Weight: 1.2, Resize Mode: Resize and Fill, Processor Res: 512, Threshold A: 64.0, Threshold B: 64.0, .*Pixel Perfect: True, Control Mode: ControlNet is more important$/,
  );
  assert.deepEqual(
    { ...seen, txt2img },
    {
      version: 3,
      models: 4,
      modules: true,
      txt2img: {
        sizes: [
          [64, 64],
          [64, 64],
        ],
        changed: true,
      },
      img2img: { modes: ['RGB', 'RGBA'] },
      refused: 422,
    },
  );
});

async function ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const answer = await server.json(method, path, body);
  assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body).slice(0, 500)}`);
  return answer.body;
}

test('Auto-Photoshop-StableDiffusion-Plugin', async () => {
  const settings = await ask<{ control_net_unit_count: number }>('GET', '/controlnet/settings');
  assert.equal((await ask<{ version: number }>('GET', '/controlnet/version')).version > 1, true);
  const { model_list: models } = await ask<{ model_list: string[] }>('GET', '/controlnet/model_list');
  const { module_list: modules, module_detail: detail } = await ask<{
    module_list: string[];
    module_detail: Record<string, { sliders: { value: number }[] }>;
  }>('GET', '/controlnet/module_list?alias_names=true');
  const module = modules.find((name) => name.startsWith('lineart_standard')) ?? '';
  const input_image = await base64Png(testImage(96, 96, 'mask'));
  const preview = await ask<{ images: string[]; info: string }>('POST', '/controlnet/detect', {
    controlnet_module: module,
    controlnet_input_images: [input_image],
    controlnet_processor_res: detail[module]?.sliders[0]?.value,
    controlnet_threshold_a: 0,
    controlnet_threshold_b: 0,
  });
  assert.equal((await decode(preview.images[0] ?? '')).width, 512);
  const unit = (enabled: boolean) => ({
    enabled,
    input_image: enabled ? input_image : '',
    mask: '',
    module: enabled ? module : '',
    model: enabled ? models.find((name) => name.includes('canny')) : '',
    weight: 1,
    resize_mode: 'Crop and Resize',
    lowvram: false,
    processor_res: 512,
    threshold_a: 0,
    threshold_b: 0,
    guidance_start: 0,
    guidance_end: 1,
    control_mode: 0,
    pixel_perfect: true,
  });
  const units = Array.from({ length: settings.control_net_unit_count }, (_, i) => unit(i === 0));
  const { images } = await ask<{ images: string[] }>('POST', '/sdapi/v1/img2img', {
    prompt: 'a house',
    negative_prompt: '',
    sampler_index: 'Euler a',
    steps: 2,
    width: 64,
    height: 64,
    init_images: [input_image],
    denoising_strength: 0.7,
    resize_mode: 0,
    batch_size: 1,
    n_iter: 1,
    seed: '-1',
    mask_blur: 0,
    restore_faces: false,
    controlnet_units: units,
    subseed: -1,
    override_settings: {},
    override_settings_restore_afterwards: true,
    alwayson_scripts: { controlnet: { args: units } },
  });
  assert.equal(images.length, 2);
});

test('a reference unit needs no model, as in the tests of the extension; its style fidelity is threshold_a', async () => {
  const ask = async <T>(method: 'GET' | 'POST', path: string, body?: object): Promise<T> => {
    const answer = await server.json(method, path, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body).slice(0, 500));
    return answer.body;
  };
  const image = await base64Png(testImage(96, 96));
  const { module_detail } = await ask<{ module_detail: Record<string, object> }>('GET', '/controlnet/module_list');
  const slider = { name: 'Style Fidelity (only for Balanced mode)', value: 0.5, min: 0, max: 1, step: 0.01 };
  assert.deepEqual(module_detail['reference_only'], { model_free: true, sliders: [slider] });
  const make = (more: object) => {
    const unit = { module: 'reference_only', model: 'None', image, save_detected_map: false, ...more };
    const alwayson_scripts = { ControlNet: { args: [unit] } };
    const body = { prompt: 'a red apple', width: 64, height: 64, steps: 2, seed: 5, cfg_scale: 4, alwayson_scripts };
    return ask<{ images: string[]; info: string }>('POST', '/sdapi/v1/txt2img', body);
  };
  const made = await make({ threshold_a: 0.2 });
  assert.match(made.info, /Module: reference_only, Model: None, Weight: 1\.0,.* Threshold A: 0\.2,/);
  const others = [
    await make({ threshold_a: 1 }),
    await make({ module: 'reference_adain' }),
    await make({ enabled: false }),
  ];
  assert.equal(new Set([made, ...others].map(({ images }) => images[0])).size, 4);
});
