/**
 * What clients send, in their order, with a key as they send it: Open WebUI (backend/open_webui/routers/images.py), SillyTavern
 * (src/endpoints/stable-diffusion.js), Auto-Photoshop-StableDiffusion-Plugin (typescripts/, utility/session.js), aiyabot (core/).
 */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

const headers = { authorization: `Basic ${Buffer.from('user:a-secret-of-bob').toString('base64')}` };
let server: TestServer;
before(async () => {
  server = await startTestServer({ keys: [{ name: 'bob', secret: 'a-secret-of-bob' }] });
});
after(() => server.stop());

async function ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const answer = await server.json(method, `/sdapi/v1/${path}`, body, headers);
  assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}
type Options = Record<string, unknown>;
interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}

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
  for (let i = 0; i < 500 && (await progress()).state.job_count > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal((await progress()).state.job_count, 0);
});

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
