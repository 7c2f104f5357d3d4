/** What Auto-Photoshop-StableDiffusion-Plugin sends (typescripts/, utility/session.js), in its order. */

import assert from 'node:assert/strict';
import test from 'node:test';
import { ask, type Generation, headers, type Options, server } from './as-client.ts';
import { base64Png, decode, testImage } from './start.ts';

/** Of every request for pictures. */
const shared = {
  selection_info: { left: 0, top: 0, width: 64, height: 64 },
  alwayson_scripts: {},
  prompt: 'a cat',
  negative_prompt: '',
  original_prompt: 'a cat',
  original_negative_prompt: '',
  clip_skip: 1,
  steps: 2,
  sampler_index: 'Euler a',
  width: 64,
  height: 64,
  denoising_strength: 0.7,
  batch_size: 1,
  cfg_scale: 7,
  seed: '77',
  mask_blur: 4,
  use_sharp_mask: false,
  use_prompt_shortcut: false,
  prompt_shortcut_ui_dict: {},
  uniqueDocumentId: 'c4f0',
  mode: 'txt2img',
  restore_faces: false,
  tiling: false,
};

test('Auto-Photoshop-StableDiffusion-Plugin: its start, text to image, inpainting, enlarging', async () => {
  for (const path of ['samplers', 'sd-models', 'loras', 'upscalers', 'scripts'])
    assert.ok(await ask('GET', path), path);
  assert.deepEqual((await ask<{ loaded: object }>('GET', 'embeddings')).loaded, {});
  await ask('POST', 'options', { inpainting_mask_weight: 1 });
  assert.equal((await ask<Options>('GET', 'options'))['inpainting_mask_weight'], 1);
  const statuses = {
    'controlnet/settings': 200,
    'controlnet/model_list': 200,
    'controlnet/module_list?alias_names=true': 200,
    'sdapi/auto-photoshop-sd/vae/list': 404,
  };
  for (const [path, status] of Object.entries(statuses))
    assert.equal((await server.json('GET', `/${path}`, undefined, headers)).status, status, path);
  const {
    images: [made = ''],
  } = await ask<Generation>('POST', 'txt2img', {
    ...shared,
    enable_hr: true,
    hr_scale: 1,
    hr_upscaler: 'Latent',
    hr_second_pass_steps: 0,
  });
  const { info } = await ask<{ info: string }>('POST', 'png-info', { image: `data:image/png;base64,${made}` });
  // It reads the last line, cut at its commas and colons.
  const settings = Object.fromEntries(
    info
      .slice(info.lastIndexOf('\n') + 1, -1)
      .split(',')
      .map((pair) => pair.split(':').map((text) => text.trimStart())),
  );
  assert.equal(settings['Seed'], '77');
  const mask = await base64Png(testImage(64, 64, 'mask'));
  const painted = await ask<Generation>('POST', 'img2img', {
    ...shared,
    mode: 'inpaint',
    init_images: [made],
    mask,
    expanded_mask: mask,
    mask_expansion: 10,
    inpaint_full_res: false,
    inpaint_full_res_padding: 32,
    inpainting_fill: 1,
  });
  assert.equal(painted.images.length, 1);
  const { image } = await ask<{ image: string }>('POST', 'extra-single-image', {
    resize_mode: 0,
    show_extras_results: true,
    gfpgan_visibility: 0,
    codeformer_visibility: 0,
    codeformer_weight: 0,
    upscaling_resize: 1.5,
    upscaling_resize_w: 96.5,
    upscaling_resize_h: 96.5,
    upscaling_crop: true,
    upscaler_1: 'Lanczos',
    upscaler_2: 'None',
    extras_upscaler_2_visibility: 0,
    upscale_first: false,
    image: made,
  });
  assert.equal((await decode(image)).width, 96);
  assert.equal((await ask<{ progress: number }>('GET', 'progress?skip_current_image=false')).progress, 0);
  const stopped = await fetch(`${server.url}/sdapi/v1/interrupt`, {
    method: 'POST',
    headers: { ...headers, accept: 'application/json', 'content-type': 'application/json' },
  });
  assert.deepEqual([stopped.status, await stopped.json()], [200, {}]);
});
