/** sd-webui-controlnet's routes and its units in A1111's requests; controls of the jobs API. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { type GenerationRecord, recordSchema } from '../../src/generation/record.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { preprocess, preprocessorNamed } from '../../src/preprocessors/index.ts';
import { type ControlServer, startControlServer } from './control-folder.ts';
import { base64Png, decode, type TestServer, testImage } from './start.ts';

let controlled: ControlServer;
let server: TestServer;
before(async () => {
  controlled = await startControlServer();
  ({ server } = controlled);
});
after(() => controlled.end());

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2, seed: 5, sampler_name: 'Euler', cfg_scale: 4 };

interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}
const infoOf = ({ info }: Generation) =>
  JSON.parse(info) as { infotexts: string[]; extra_generation_params: Record<string, string> };

async function ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
  const answer = await server.json(method, path, body);
  assert.equal(answer.status, 200, `${path}: ${JSON.stringify(answer.body).slice(0, 500)}`);
  return answer.body;
}
const units = (...args: unknown[]) => ({ alwayson_scripts: { ControlNet: { args } } });

async function refusal(body: object, path = '/sdapi/v1/txt2img'): Promise<[status: number, loc: unknown, msg: string]> {
  const { status, body: answer } = await server.json('POST', path, body);
  const [{ loc, msg }] = (answer as { detail: [{ loc: unknown; msg: string }] }).detail;
  return [status, loc, msg];
}

test('lists: version, models with the short hash, modules with sliders, types, settings', async () => {
  assert.deepEqual(await ask('GET', '/controlnet/version'), { version: 3 });
  const { model_list } = await ask<{ model_list: string[] }>('GET', '/controlnet/model_list');
  assert.deepEqual(
    model_list.map((title) => title.replace(/[0-9a-f]{8}\]$/, '#]')),
    ['tiny_gligen [#]', 'tiny_ip-adapter [#]', 'tiny_t2iadapter [#]', 'tiny_v11_canny [#]'],
  );
  const modules = await ask<{ module_list: string[]; module_detail: Record<string, unknown> }>(
    'GET',
    '/controlnet/module_list?alias_names=true',
  );
  assert.equal(modules.module_list[0], 'none');
  assert.ok(modules.module_list.includes('inpaint_global_harmonious') && !modules.module_list.includes('openpose'));
  assert.deepEqual(modules.module_detail['canny'], {
    model_free: false,
    sliders: [
      { name: 'Resolution', value: 512, min: 64, max: 2048, step: 8 },
      { name: 'Canny Low Threshold', value: 100, min: 1, max: 255, step: 1 },
      { name: 'Canny High Threshold', value: 200, min: 1, max: 255, step: 1 },
    ],
  });
  const { module_list: names } = await ask<{ module_list: string[] }>('GET', '/controlnet/module_list');
  assert.ok(names.includes('inpaint') && names.includes('lineart_standard'));
  const { control_types: types } = await ask<{ control_types: Record<string, Record<string, unknown>> }>(
    'GET',
    '/controlnet/control_types',
  );
  assert.deepEqual(types['Canny'], {
    module_list: ['none', 'canny', 'invert (from white bg & black line)'],
    model_list: ['None', model_list[3]],
    default_option: 'canny',
    default_model: model_list[3],
  });
  assert.deepEqual(types['IP-Adapter']?.['model_list'], ['None', model_list[1]]);
  assert.deepEqual(await ask('GET', '/controlnet/settings'), { control_net_unit_count: 8 });
  const { txt2img } = await ask<{ txt2img: string[] }>('GET', '/sdapi/v1/scripts');
  assert.ok(txt2img.includes('controlnet'));
});

test('detect gives the map of each picture', async () => {
  const picture = testImage(96, 80, 'mask');
  const { images, info } = await ask<{ images: string[]; info: string }>('POST', '/controlnet/detect', {
    controlnet_module: 'canny',
    controlnet_input_images: [await base64Png(picture)],
    controlnet_processor_res: 128,
    controlnet_threshold_a: -1,
  });
  assert.equal(info, 'Success');
  const map = await preprocess(preprocessorNamed('canny'), picture, { resolution: 128 });
  assert.deepEqual((await decode(images[0] ?? '')).data, map.data);
  assert.deepEqual(await refusal({ controlnet_module: 'canny' }, '/controlnet/detect'), [
    422,
    ['body'],
    'No image selected',
  ]);
  assert.equal((await refusal({ controlnet_module: 'magic' }, '/controlnet/detect'))[2], 'Module not available');
  assert.equal(
    (await refusal({ controlnet_module: 'seg_ofade20k' }, '/controlnet/detect'))[2],
    'Module not available. seg_ofade20k of sd-webui-controlnet needs OneFormer, which is not supported. Send a finished map without a preprocessor.',
  );
  assert.match((await refusal({ controlnet_module: 'openpose' }, '/controlnet/detect'))[2], /--annotators/);
  const masked = { controlnet_module: 'inpaint', controlnet_input_images: [await base64Png(picture)] };
  assert.match((await refusal(masked, '/controlnet/detect'))[2], /requires `controlnet_masks`/);
});

test('a unit changes the picture; its map and its settings are in the answer', async () => {
  const image = await base64Png(testImage(96, 96, 'mask'));
  const plain = await ask<Generation>('POST', '/sdapi/v1/txt2img', small);
  const unit = { enabled: true, module: 'canny', model: 'tiny_v11_canny', image, weight: 1, threshold_a: 64 };
  const made = await ask<Generation>('POST', '/sdapi/v1/txt2img', { ...small, ...units(unit) });
  assert.equal(made.images.length, 2);
  assert.notEqual(made.images[0], plain.images[0]);
  const map = await decode(made.images[1] ?? '');
  assert.deepEqual([map.width, map.height, new Set(map.data)], [64, 64, new Set([0, 255])]);
  const { model_list } = await ask<{ model_list: string[] }>('GET', '/controlnet/model_list');
  const line = `Module: canny, Model: ${model_list[3]}, Weight: 1.0, Resize Mode: Crop and Resize, Processor Res: 512, Threshold A: 64.0, Threshold B: 200, Guidance Start: 0.0, Guidance End: 1.0, Pixel Perfect: False, Control Mode: Balanced`;
  assert.equal(infoOf(made).extra_generation_params['ControlNet 0'], line);
  assert.ok(infoOf(made).infotexts[0]?.includes(`ControlNet 0: "${line}"`));
  // Again, from the kept network: the same picture.
  const again = await ask<Generation>('POST', '/sdapi/v1/txt2img', { ...small, ...units(unit) });
  assert.equal(again.images[0], made.images[0]);
});

test('old names, numbers for texts, units that are turned off', async () => {
  const image = await base64Png(testImage(96, 64));
  const today = {
    enabled: true,
    module: 'none',
    model: 'tiny_v11_canny',
    image,
    guidance_end: 0.6,
    resize_mode: 'Resize and Fill',
    control_mode: 'ControlNet is more important',
    low_vram: false,
    processor_res: 512,
  };
  const old = {
    model: 'tiny_v11_canny',
    input_image: image,
    guidance: 0.6,
    resize_mode: 2,
    control_mode: 2,
    lowvram: true,
    processor_res: '512',
  };
  const [a, b] = [
    await ask<Generation>('POST', '/sdapi/v1/txt2img', { ...small, ...units(today) }),
    await ask<Generation>('POST', '/sdapi/v1/txt2img', {
      ...small,
      ...units(old, { enabled: false, model: 'gone' }, null, true),
    }),
  ];
  assert.equal(a.images[0], b.images[0]);
  const off = await ask<Generation>('POST', '/sdapi/v1/txt2img', { ...small, ...units({ ...today, enabled: false }) });
  assert.equal(off.images.length, 1);
});

test('several units: a T2I-Adapter and an IP-Adapter beside a ControlNet, in both passes of hires. fix', async () => {
  const image = await base64Png(testImage(80, 64));
  const net = { model: 'tiny_v11_canny', module: 'canny', image, hr_option: 'Low res only' };
  const body = {
    ...small,
    enable_hr: true,
    hr_scale: 2,
    hr_upscaler: 'Lanczos',
    denoising_strength: 0.5,
    ...units(
      net,
      { model: 'tiny_t2iadapter', image, save_detected_map: false },
      { model: 'tiny_ip-adapter', module: 'ip-adapter-auto', image: [{ image }, { image }] },
    ),
  };
  const made = await ask<Generation>('POST', '/sdapi/v1/txt2img', body);
  const sizes = await Promise.all(made.images.map(async (text) => (await decode(text)).width));
  assert.deepEqual(sizes, [128, 128, 64]);
  const { extra_generation_params: extra } = infoOf(made);
  assert.match(extra['ControlNet 2'] ?? '', /^Module: ip-adapter-auto, Model: tiny_ip-adapter/);
});

test('img2img: a unit without a picture takes the initial one, and its part where only the masked part is painted', async () => {
  const image = await base64Png(testImage(128, 128));
  const mask = await base64Png(testImage(128, 128, 'mask'));
  const unit = { model: 'tiny_v11_canny', module: 'none' };
  const body = { ...small, init_images: [image], denoising_strength: 0.6, resize_mode: 1 };
  const whole = await ask<Generation>('POST', '/sdapi/v1/img2img', { ...body, ...units(unit) });
  const shown = await decode(whole.images[1] ?? '');
  assert.deepEqual([shown.width, shown.height, shown.channels], [64, 64, 3]);
  const painted = await ask<Generation>('POST', '/sdapi/v1/img2img', {
    ...body,
    mask,
    inpaint_full_res: true,
    inpaint_full_res_padding: 0,
    ...units({ ...unit, module: 'inpaint_only' }),
  });
  const part = await decode(painted.images[1] ?? '');
  assert.equal(part.channels, 4);
  assert.equal(part.data[(32 * 64 + 32) * 4 + 3], 128);
});

/** A job of the jobs API, and the record in its picture. */
async function finished(controls: object) {
  const job = await server.json('POST', '/api/v1/jobs', {
    prompt: 'a red apple',
    width: 64,
    height: 64,
    steps: 2,
    seed: 5,
    ...controls,
  });
  assert.equal(job.status, 202, JSON.stringify(job.body));
  const { id } = job.body as { id: string };
  let view: { state: string; result: { images: { url: string }[]; maps?: string[] } | null };
  do view = (await server.json('GET', `/api/v1/jobs/${id}`)).body;
  while (view.state === 'queued' || view.state === 'running');
  assert.equal(view.state, 'done', JSON.stringify(view));
  const file = new Uint8Array(await (await fetch(server.url + (view.result?.images[0]?.url ?? ''))).arrayBuffer());
  const { data } = await decode(Buffer.from(file).toString('base64'));
  const record: GenerationRecord = recordSchema.parse(readImageMetadata(file).record);
  return { record, maps: view.result?.maps, data };
}

test('GLIGEN: phrases in boxes', async () => {
  const plain = await finished({});
  const objects = [{ phrase: 'an apple', box: [0.1, 0.2, 0.5, 0.6] }];
  const grounded = await finished({ control: [{ model: 'tiny_gligen', objects }] });
  assert.notDeepEqual(grounded.data, plain.data);
  assert.deepEqual(grounded.record.control?.[0]?.objects, objects);
  const never = await finished({ control: [{ model: 'tiny_gligen', objects, weight: 0 }] });
  assert.deepEqual(never.data, plain.data);
  const { body } = await server.json('POST', '/api/v1/jobs', { control: [{ model: 'tiny_gligen' }] });
  assert.match(JSON.stringify(body), /GLIGEN needs objects/);
});

test('the record in a picture names the controls, with the digests of the pictures as they were sent', async () => {
  const picture = testImage(96, 96, 'mask');
  const image = await base64Png(picture);
  const { record, maps } = await finished({
    control: [{ model: 'tiny_v11_canny', preprocessor: 'canny', picture: image, weight: 0.5, end: 0.8 }],
    imagePrompts: [{ model: 'tiny_ip-adapter', pictures: [image], weight: 0.7 }],
  });
  assert.equal(maps, undefined);
  assert.deepEqual(record.control, [
    {
      model: 'tiny_v11_canny.safetensors',
      weight: 0.5,
      start: 0,
      end: 0.8,
      mode: 'balanced',
      passes: 'both',
      resize: 'crop',
      preprocessor: 'canny',
      pixelPerfect: false,
    },
  ]);
  const [digest] = record.digests.control?.[0]?.pictures ?? [];
  assert.equal(digest, record.digests.imagePrompts?.[0]?.pictures[0]);
  assert.match(digest ?? '', /^[0-9a-f]{64}$/);
});

test('what is refused is named, at its field', async () => {
  const image = await base64Png(testImage(64, 64));
  const base = ['body', 'alwayson_scripts', 'ControlNet', 'args'];
  const unit = { enabled: true, module: 'none', model: 'tiny_v11_canny', image };
  const rows: readonly (readonly [unit: object, field: string, message: RegExp])[] = [
    [{ ...unit, model: 'gone [12345678]' }, 'model', /Unknown control model/],
    [{ ...unit, model: 'None' }, 'model', /not selected any ControlNet Model/],
    [{ ...unit, module: 'magic' }, 'module', /module\(magic\) not found/],
    [{ ...unit, module: 'openpose' }, 'module', /body_pose_model.pth.*--annotators/],
    [{ ...unit, image: '' }, 'image', /no input image/],
    [{ ...unit, image: 'AAAA' }, 'image', /picture|image|format/],
    [{ ...unit, resize_mode: 'Bend' }, 'resize_mode', /permitted: 'Just Resize'/],
    [{ ...unit, control_mode: 7 }, 'control_mode', /permitted: 'Balanced'/],
    [{ ...unit, guidance_start: 2 }, 'guidance_start', /from 0 to 1/],
    [{ ...unit, guidance_start: 0.8, guidance_end: 0.2 }, 'guidance_start', /not above/],
    [{ ...unit, weight: 1000 }, 'weight', /less than or equal to 10/],
    [{ ...unit, module: 'inpaint' }, 'mask', /needs a mask/],
    [{ ...unit, ipadapter_input: ['x'] }, 'ipadapter_input', /not supported/],
  ];
  for (const [wrong, field, message] of rows) {
    const [status, loc, msg] = await refusal({ ...small, ...units({ enabled: false }, wrong) });
    assert.deepEqual(loc, [...base, 1, field], msg);
    assert.match(msg, message);
    assert.equal(status, 422);
  }
  const many = Array.from({ length: 9 }, () => unit);
  assert.match((await refusal({ ...small, ...units(...many) }))[2], /at most 8/);
  const job = await server.json('POST', '/api/v1/jobs', { control: [{ model: 'tiny_ip-adapter', picture: image }] });
  assert.match(JSON.stringify(job.body), /IP-Adapter, which is given under imagePrompts/);
});
