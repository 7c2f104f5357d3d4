/**
 * What clients send, in their order, with a key as they send it:
 * Open WebUI (backend/open_webui/routers/images.py), SillyTavern (src/endpoints/stable-diffusion.js), aiyabot (core/).
 */

import assert from 'node:assert/strict';
import test from 'node:test';
import { ask, type Generation, headers, type Options, server } from './as-client.ts';
import { decode } from './start.ts';

test('Open WebUI', async () => {
  const options = await ask<Options>('GET', 'options');
  const [model] = await ask<{ title: string; model_name: string }[]>('GET', 'sd-models');
  assert.equal(options['sd_model_checkpoint'], model?.title);
  options['sd_model_checkpoint'] = model?.model_name;
  await ask('POST', 'options', options);
  const { images, info } = await ask<Generation>('POST', 'txt2img', {
    prompt: 'a red apple',
    batch_size: 2,
    width: 64,
    height: 64,
    steps: 2,
    cfg_scale: 7,
    sampler_name: 'Euler',
    scheduler: 'Karras',
  });
  assert.equal(images.length, 2);
  assert.equal((JSON.parse(info) as { sd_model_name: string }).sd_model_name, 'pocket');
});

test('SillyTavern', async () => {
  await ask('GET', 'options');
  const names = async (path: string): Promise<string[]> =>
    (await ask<{ name: string }[]>('GET', path)).map(({ name }) => name);
  const [upscalers, latent, samplers, schedulers] = [
    await names('upscalers'),
    await names('latent-upscale-modes'),
    await names('samplers'),
    await names('schedulers'),
  ];
  assert.equal(upscalers[0], 'None');
  assert.deepEqual(await ask('GET', 'sd-vae'), []);
  const [model] = await ask<{ title: string }[]>('GET', 'sd-models');
  await ask('POST', 'options', { sd_model_checkpoint: model?.title });
  const progress = () => ask<{ progress: number; state: { job_count: number } }>('GET', 'progress');
  const { progress: share, state } = await progress();
  assert.deepEqual([share, state.job_count], [0, 0]);
  // It sends what its own page sent it, its own fields and all.
  const body = {
    url: server.url,
    auth: 'user:a-secret-of-bob',
    prompt: 'a cat',
    negative_prompt: 'bad',
    sampler_name: samplers[0],
    scheduler: schedulers[2],
    steps: 2,
    cfg_scale: 7,
    width: 64,
    height: 64,
    restore_faces: false,
    enable_hr: true,
    hr_upscaler: latent[0],
    hr_scale: 1.5,
    hr_additional_modules: [],
    denoising_strength: 0.7,
    hr_second_pass_steps: 0,
    seed: undefined,
    clip_skip: 1,
    override_settings: { CLIP_stop_at_last_layers: 1, sd_vae: 'Automatic', forge_additional_modules: [] },
    override_settings_restore_afterwards: true,
    save_images: true,
    send_images: true,
    do_not_save_grid: false,
    do_not_save_samples: false,
  };
  const { images } = await ask<Generation>('POST', 'txt2img', body);
  const { width } = await decode(images[0] ?? '');
  assert.equal(width, 96);
  // The user stops it: it interrupts, and goes.
  const going = new AbortController();
  const asked = fetch(`${server.url}/sdapi/v1/txt2img`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, enable_hr: false, steps: 150 }),
    signal: going.signal,
  });
  const stopped = assert.rejects(asked);
  while ((await progress()).progress === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await ask('POST', 'interrupt');
  going.abort();
  await stopped;
  while ((await progress()).state.job_count > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal((await progress()).state.job_count, 0);
});

test('a client in PHP writes empty objects as empty lists', async () => {
  await ask('POST', 'txt2img', {
    prompt: 'a cat',
    steps: 1,
    width: 64,
    height: 64,
    override_settings: [],
    alwayson_scripts: [],
    styles: [],
    script_args: [],
  });
});

test('a Discord bot (aiyabot): its questions at the start, and its fields', async () => {
  assert.equal((await server.json('GET', '/config')).status, 401, 'it tells by this that there is a key');
  for (const path of [
    'cmd-flags',
    'samplers',
    'prompt-styles',
    'face-restorers',
    'embeddings',
    'hypernetworks',
    'upscalers',
    'sd-models',
    'loras',
  ])
    await ask('GET', path);
  const config = (await server.json('GET', '/config', undefined, headers)).body as {
    components: { props: { elem_id: string; choices: string[] } }[];
  };
  const upscaler = config.components.find(({ props }) => props.elem_id === 'txt2img_hr_upscaler')?.props.choices[0];
  const common = {
    prompt: 'a cat',
    negative_prompt: '',
    steps: 3,
    width: 64,
    height: 64,
    cfg_scale: 7,
    sampler_index: 'Euler a',
    seed: 5,
    seed_resize_from_h: -1,
    seed_resize_from_w: -1,
    n_iter: 1,
    batch_size: 1,
    styles: ['None'],
  };
  const hires = {
    enable_hr: true,
    hr_upscaler: upscaler,
    hr_scale: 1,
    hr_second_pass_steps: 3 / 2,
    denoising_strength: '0.7',
  };
  const options = {
    override_settings: { CLIP_stop_at_last_layers: 1, face_restoration_model: 'CodeFormer' },
    restore_faces: true,
  };
  const {
    images: [first = ''],
  } = await ask<Generation>('POST', 'txt2img', { ...common, ...hires, ...options });
  const { images } = await ask<Generation>('POST', 'img2img', {
    ...common,
    hr_scale: null,
    init_images: [`data:image/png;base64,${first}`],
    denoising_strength: '0.75',
    override_settings: { CLIP_stop_at_last_layers: 1 },
  });
  assert.match(
    (await ask<{ info: string }>('POST', 'png-info', { image: `data:image/png;base64,${images[0]}` })).info,
    /^a cat\nSteps: 3, Sampler: Euler a/,
  );
  await ask('POST', 'extra-single-image', {
    upscaling_resize: '2.0',
    upscaler_1: 'Lanczos',
    image: `data:image/png;base64,${first}`,
    gfpgan_visibility: '0.0',
    codeformer_visibility: '0.0',
    upscale_first: false,
    upscaler_2: 'Nearest',
    extras_upscaler_2_visibility: '0.5',
  });
});

test('a POST without a body, whatever it says its kind is (curl -d "")', async () => {
  for (const type of [
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/octet-stream',
    'application/json',
  ]) {
    assert.equal(
      (
        await fetch(`${server.url}/sdapi/v1/interrupt`, {
          method: 'POST',
          headers: { ...headers, 'content-type': type },
          body: '',
        })
      ).status,
      200,
      type,
    );
  }
  const form = await fetch(`${server.url}/sdapi/v1/txt2img`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/x-www-form-urlencoded' },
    body: 'prompt=x',
  });
  assert.equal(form.status, 422);
  // FastAPI reads a body without a name, and one named as a kind of JSON, as JSON.
  for (const named of [undefined, 'application/vnd.api+json', 'application/json; charset=UTF-8']) {
    const body = new TextEncoder().encode('{"steps":1,"width":64,"height":64}');
    assert.equal(
      (
        await fetch(`${server.url}/sdapi/v1/txt2img`, {
          method: 'POST',
          headers: { ...headers, ...(named ? { 'content-type': named } : {}) },
          body,
        })
      ).status,
      200,
      named,
    );
  }
});

test("an older client's sign of life", async () => {
  const { status, body } = await server.json('GET', '/internal/ping', undefined, headers);
  assert.deepEqual([status, body], [200, {}]);
});
