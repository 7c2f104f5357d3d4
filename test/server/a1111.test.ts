/** The A1111 API as its clients use it, against the pocket model. */

import assert from 'node:assert/strict';
import { resultOf } from '../pipelines/result.ts';
import test, { after, before } from 'node:test';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { loadModel, textToImage, type TextToImageOptions } from '../../src/index.ts';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

const api = (path: string): string => `/sdapi/v1/${path}`;
interface Generation {
  readonly images: readonly string[];
  readonly parameters: Record<string, unknown>;
  readonly info: string;
}
const small = { steps: 2, width: 64, height: 64, prompt: 'a red apple', seed: 7 };

test('txt2img: pictures, parameters and info with all its fields', async () => {
  const { status, body } = await server.json('POST', api('txt2img'), {
    ...small,
    negative_prompt: 'blue',
    sampler_name: 'DPM++ 2M',
    scheduler: 'Karras',
    batch_size: 2,
    n_iter: 2,
    some_extension: { x: 1 },
  });
  assert.equal(status, 200);
  const { images, parameters, info } = body as Generation;
  assert.equal(images.length, 4);
  const { width, height } = await decode(images[0] ?? '');
  assert.deepEqual([width, height], [64, 64]);
  assert.equal(parameters['steps'], 2);
  assert.equal('some_extension' in parameters, false);
  const told = JSON.parse(info) as Record<string, unknown>;
  for (const field of [
    'prompt',
    'all_prompts',
    'negative_prompt',
    'all_negative_prompts',
    'seed',
    'all_seeds',
    'subseed',
    'all_subseeds',
    'subseed_strength',
    'width',
    'height',
    'sampler_name',
    'cfg_scale',
    'steps',
    'batch_size',
    'restore_faces',
    'face_restoration_model',
    'sd_model_name',
    'sd_model_hash',
    'sd_vae_name',
    'sd_vae_hash',
    'seed_resize_from_w',
    'seed_resize_from_h',
    'denoising_strength',
    'extra_generation_params',
    'index_of_first_image',
    'infotexts',
    'styles',
    'job_timestamp',
    'clip_skip',
    'is_using_inpainting_conditioning',
    'version',
  ])
    assert.ok(field in told, field);
  assert.deepEqual(told['all_seeds'], [7, 8, 9, 10]);
  const settings = parseInfotext((told['infotexts'] as string[])[1] ?? '');
  assert.equal(settings['Seed'], '8');
  assert.equal(settings['Sampler'], 'DPM++ 2M');
  const { parameters: inFile } = readImageMetadata(new Uint8Array(Buffer.from(images[1] ?? '', 'base64')));
  assert.equal(inFile, (told['infotexts'] as string[])[1]);
});

test('the picture is the one the library makes of the same settings', async () => {
  const { body } = await server.json('POST', api('txt2img'), {
    ...small,
    sampler_name: 'Euler a',
    override_settings: { randn_source: 'CPU' },
  });
  await using model = await loadModel();
  const { images } = await resultOf(
    textToImage(model, { ...small, sampler: 'Euler a', noise: 'a1111-cpu', guidanceScale: 7 }),
  );
  assert.deepEqual((await decode((body as Generation).images[0] ?? '')).data, images[0]?.image.data);
});

test("prompts are read in A1111's syntax; the settings keep them as they were written", async () => {
  const prompt = '(red:1.5) apple <nothing:x> AND a [blue|green] car :0.6 # words';
  const common = { ...small, prompt, sampler_name: 'Euler', negative_prompt: '(bad)' };
  const settings = {
    steps: 2,
    width: 64,
    height: 64,
    seed: 7,
    sampler: 'Euler',
    noise: 'a1111-gpu',
    guidanceScale: 7,
    negativePrompt: '(bad)',
  } as const;
  await using model = await loadModel();
  const expected = async (options: TextToImageOptions): Promise<Uint8Array | undefined> => {
    const plain = '(red:1.5) apple  AND a [blue|green] car :0.6';
    const { images } = await resultOf(textToImage(model, { ...settings, prompt: plain, ...options }));
    return images[0]?.image.data;
  };
  const pictureOf = async (more: object): Promise<{ readonly data: Uint8Array; readonly infotext: string }> => {
    const { body } = await server.json('POST', api('txt2img'), { ...common, ...more });
    const { images, info } = body as Generation;
    return {
      data: (await decode(images[0] ?? '')).data,
      infotext: (JSON.parse(info) as { infotexts: string[] }).infotexts[0] ?? '',
    };
  };
  const made = await pictureOf({});
  assert.deepEqual(made.data, await expected({ promptSyntax: 'a1111' }));
  assert.notDeepEqual(made.data, await expected({ promptSyntax: 'plain' }));
  assert.ok(made.infotext.startsWith(`${prompt}\nNegative prompt: (bad)\n`), made.infotext);
  assert.doesNotMatch(made.infotext, /Emphasis/);
  const ignored = await pictureOf({ override_settings: { emphasis: 'Ignore', comma_padding_backtrack: 0 } });
  assert.deepEqual(
    ignored.data,
    await expected({ promptSyntax: 'a1111', promptSettings: { emphasis: 'Ignore', commaBacktrack: 0 } }),
  );
  assert.notDeepEqual(ignored.data, made.data);
  assert.match(ignored.infotext, /Emphasis: Ignore/);
  const wrong = await server.json('POST', api('txt2img'), { ...small, prompt: '(a:1.2.3)' });
  assert.ok(wrong.status >= 400 && wrong.status < 500, `${wrong.status}`);
});

test('requests of the same kind are made in one run, and each picture is what it is alone', async () => {
  const asked = ['a red apple', 'a blue car', 'a cat', 'a tree'].map((prompt, i) => ({
    ...small,
    prompt,
    seed: 20 + i,
    negative_prompt: i % 2 ? 'bad' : '',
  }));
  const alone: string[] = [];
  for (const body of asked)
    alone.push(((await server.json('POST', api('txt2img'), body)).body as Generation).images[0] ?? '');
  // One job of another kind first, so that the others wait together.
  const [, ...together] = await Promise.all(
    [{ ...small, steps: 6 }, ...asked].map((body) => server.json('POST', api('txt2img'), body)),
  );
  const pictures = together.map(({ body }) => (body as Generation).images[0]);
  assert.deepEqual(pictures, alone);
  const batched = /sd_batch_jobs_bucket\{le="1"\} (\d+)[\s\S]*sd_batch_jobs_count (\d+)/.exec(
    await (await fetch(`${server.url}/metrics`)).text(),
  );
  assert.ok(Number(batched?.[2]) > Number(batched?.[1]), 'some jobs shared a run');
});

test('names and aliases of samplers; an unknown one is refused', async () => {
  for (const name of ['k_dpmpp_2m', 'DPM++ 2M Karras', 'euler a', 'UniPC'])
    assert.equal((await server.json('POST', api('txt2img'), { ...small, sampler_name: name })).status, 200, name);
  const { status, body } = await server.json('POST', api('txt2img'), { ...small, sampler_name: 'Magic' });
  assert.equal(status, 400);
  assert.deepEqual(body, { error: 'HTTPException', detail: 'Sampler not found', body: '', errors: '' });
});

test('wrong fields are answered as FastAPI does', async () => {
  const refused = async (body: unknown): Promise<unknown> => {
    const answer = await server.json('POST', api('txt2img'), body);
    assert.equal(answer.status, 422, JSON.stringify(body));
    return answer.body;
  };
  assert.deepEqual(await refused({ steps: 'many' }), {
    detail: [{ loc: ['body', 'steps'], msg: 'value is not a valid integer', type: 'type_error.integer' }],
  });
  assert.deepEqual(await refused({ cfg_scale: 'x' }), {
    detail: [{ loc: ['body', 'cfg_scale'], msg: 'value is not a valid float', type: 'type_error.float' }],
  });
  assert.deepEqual(await refused({ enable_hr: 'perhaps' }), {
    detail: [{ loc: ['body', 'enable_hr'], msg: 'value could not be parsed to a boolean', type: 'type_error.bool' }],
  });
  assert.deepEqual(await refused({ prompt: {} }), {
    detail: [{ loc: ['body', 'prompt'], msg: 'str type expected', type: 'type_error.str' }],
  });
  for (const body of [
    { steps: 100000 },
    { steps: 0 },
    { width: 1e6 },
    { batch_size: 1000 },
    { seed: 1e300 },
    { alwayson_scripts: { ADetailer: {} } },
    { script_name: 'x' },
    [],
  ])
    await refused(body);
  const none = await fetch(server.url + api('txt2img'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{',
  });
  assert.equal(none.status, 422);
});

test('strings are read as numbers, null is the default', async () => {
  const { status, body } = await server.json('POST', api('txt2img'), {
    ...small,
    steps: '2',
    seed: '11',
    cfg_scale: '6.5',
    width: 64.0,
    sampler_name: null,
    subseed_strength: null,
    s_tmax: null,
    styles: null,
  });
  assert.equal(status, 200);
  assert.equal((JSON.parse((body as Generation).info) as { seed: number }).seed, 11);
});

test('a variation is between two seeds', async () => {
  const at = async (strength: number): Promise<string> =>
    (
      (await server.json('POST', api('txt2img'), { ...small, subseed: 99, subseed_strength: strength }))
        .body as Generation
    ).images[0] ?? '';
  const [none, half] = [await at(0), await at(0.5)];
  assert.notEqual(none, half);
});

test('img2img and its resize modes', async () => {
  const image = await base64Png(testImage(200, 100));
  const pictures = new Set<string>();
  for (const mode of [0, 1, 2]) {
    const { status, body } = await server.json('POST', api('img2img'), {
      ...small,
      init_images: [`data:image/png;base64,${image}`],
      denoising_strength: 0.4,
      resize_mode: mode,
    });
    assert.equal(status, 200);
    const made = body as Generation;
    pictures.add(made.images[0] ?? '');
    assert.equal(made.parameters['init_images'], null);
    assert.equal((JSON.parse(made.info) as { denoising_strength: number }).denoising_strength, 0.4);
  }
  assert.equal(pictures.size, 3);
  assert.equal((await server.json('POST', api('img2img'), { ...small })).status, 404);
  const bad = await server.json('POST', api('img2img'), { ...small, init_images: ['bm90IGEgcGljdHVyZQ=='] });
  assert.equal(bad.status, 422);
  assert.deepEqual((bad.body as { detail: { loc: unknown }[] }).detail[0]?.loc, ['body', 'init_images', 0]);
});

test('inpainting keeps what is not masked, for the whole picture and only the masked part', async () => {
  const source = testImage(96, 64);
  const asked = {
    ...small,
    width: 96,
    init_images: [await base64Png(source)],
    mask: await base64Png(testImage(96, 64, 'mask')),
    mask_blur: 2,
    denoising_strength: 0.9,
  };
  for (const inpaint_full_res of [false, true]) {
    for (const inpainting_fill of [0, 1, 2, 3]) {
      const { status, body } = await server.json('POST', api('img2img'), {
        ...asked,
        inpaint_full_res,
        inpaint_full_res_padding: 8,
        inpainting_fill,
      });
      assert.equal(status, 200);
      const image = await decode((body as Generation).images[0] ?? '');
      assert.deepEqual([image.width, image.height], [96, 64]);
      const at = (x: number, y: number): number[] => [...image.data.subarray((y * 96 + x) * 3, (y * 96 + x) * 3 + 3)];
      const was = (x: number, y: number): number[] => [...source.data.subarray((y * 96 + x) * 3, (y * 96 + x) * 3 + 3)];
      for (const [x, y] of [
        [2, 2],
        [94, 50],
        [48, 2],
      ] as const)
        assert.deepEqual(at(x, y), was(x, y), `kept at ${x}, ${y}`);
      assert.notDeepEqual(at(48, 32), was(48, 32), 'painted in the middle');
    }
  }
  const inverted = await server.json('POST', api('img2img'), {
    ...asked,
    inpaint_full_res: false,
    inpainting_mask_invert: 1,
    inpainting_fill: 1,
  });
  const image = await decode((inverted.body as Generation).images[0] ?? '');
  const middle = (32 * 96 + 48) * 3;
  assert.deepEqual([...image.data.subarray(middle, middle + 3)], [...source.data.subarray(middle, middle + 3)]);
});

test('hires. fix makes the larger picture', async () => {
  const { status, body } = await server.json('POST', api('txt2img'), {
    ...small,
    prompt: 'a [red:(blue:1.2):1.5] apple',
    enable_hr: true,
    hr_scale: 1.5,
    hr_upscaler: 'Latent',
    hr_second_pass_steps: 2,
    denoising_strength: 0.6,
  });
  assert.equal(status, 200);
  const { width, height } = await decode((body as Generation).images[0] ?? '');
  assert.deepEqual([width, height], [96, 96]);
  assert.equal(
    (await server.json('POST', api('txt2img'), { ...small, enable_hr: true, hr_upscaler: '../x' })).status,
    422,
  );
});

const infotextOf = ({ info }: Generation): string => (JSON.parse(info) as { infotexts: string[] }).infotexts[0] ?? '';

test('the second pass of hires. fix has its own prompts, sampler, schedule and model, and the infotext says which', async () => {
  const asked = {
    ...small,
    prompt: 'a cat',
    negative_prompt: 'dog',
    sampler_name: 'Euler',
    enable_hr: true,
    hr_scale: 1.5,
    denoising_strength: 0.8,
  };
  const make = async (more: object): Promise<Generation> => {
    const { status, body } = await server.json('POST', api('txt2img'), { ...asked, ...more });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  };
  const plain = await make({
    hr_prompt: '',
    hr_negative_prompt: '',
    hr_sampler_name: 'Use same sampler',
    hr_scheduler: 'Use same scheduler',
    hr_checkpoint_name: 'Use same checkpoint',
  });
  assert.doesNotMatch(infotextOf(plain), /Hires (prompt|negative|sampler|schedule|checkpoint|steps|upscaler|resize)/);
  assert.match(infotextOf(plain), /Denoising strength: 0\.8, Hires upscale: 1\.5, Version/);
  assert.equal(
    (
      await make({
        hr_prompt: 'a cat',
        hr_negative_prompt: 'dog',
        hr_sampler_name: 'Euler',
        hr_checkpoint_name: 'pocket',
      })
    ).images[0],
    plain.images[0],
  );
  const pictures = new Set(plain.images);
  const own: readonly (readonly [object, RegExp])[] = [
    [{ hr_prompt: 'a red, car' }, /Hires prompt: "a red, car"/],
    [{ hr_negative_prompt: 'blue' }, /Hires negative prompt: blue/],
    [{ hr_sampler_name: 'Heun' }, /Hires sampler: Heun/],
    [{ hr_scheduler: 'karras' }, /Schedule type: Automatic, .*Hires schedule type: Karras/],
    [{ hr_second_pass_steps: 5, hr_upscaler: 'Lanczos' }, /Hires steps: 5, Hires upscaler: Lanczos/],
  ];
  for (const [more, line] of own) {
    const made = await make(more);
    assert.match(infotextOf(made), line);
    assert.equal(pictures.has(made.images[0] ?? ''), false, JSON.stringify(more));
    pictures.add(made.images[0] ?? '');
  }
  assert.equal((await server.json('POST', api('txt2img'), { ...asked, hr_sampler_name: 'Magic' })).status, 400);
  assert.equal((await server.json('POST', api('txt2img'), { ...asked, hr_scheduler: 'Magic' })).status, 422);
  assert.equal((await server.json('POST', api('txt2img'), { ...asked, hr_checkpoint_name: '../pocket' })).status, 404);
});

test('hires. fix to a size: one side gives the other, both are filled', async () => {
  const size = async (more: object): Promise<readonly [string, string | undefined]> => {
    const made = (
      await server.json('POST', api('txt2img'), {
        ...small,
        width: 96,
        enable_hr: true,
        denoising_strength: 0.3,
        ...more,
      })
    ).body as Generation;
    const { width, height } = await decode(made.images[0] ?? '');
    return [`${width}x${height}`, /Hires resize: (\w+)/.exec(infotextOf(made))?.[1]];
  };
  assert.deepEqual(await size({ hr_resize_x: 192, hr_resize_y: 0 }), ['192x128', '192x0']);
  assert.deepEqual(await size({ hr_resize_y: 128 }), ['192x128', '0x128']);
  assert.deepEqual(await size({ hr_resize_x: 128, hr_resize_y: 128 }), ['128x128', '128x128']);
});

test('samplers and schedules go by the names of A1111 in the settings', async () => {
  for (const [sampler_name, scheduler, line] of [
    ['DPM++ 2M karras', undefined, 'Sampler: DPM++ 2M, Schedule type: Karras'],
    ['DPM++ 2M', 'Automatic', 'Sampler: DPM++ 2M, Schedule type: Karras'],
    ['k_euler_a', 'automatic', 'Sampler: Euler a, Schedule type: Automatic'],
    ['Euler SGM Uniform', 'automatic', 'Sampler: Euler, Schedule type: SGM Uniform'],
    ['DPM++ 2M Karras', 'exponential', 'Sampler: DPM++ 2M, Schedule type: Exponential'],
    ['DDIM', '', 'Sampler: DDIM, Schedule type: Automatic'],
  ]) {
    const { body } = await server.json('POST', api('txt2img'), { ...small, sampler_name, scheduler });
    assert.ok(infotextOf(body).includes(`${line},`), infotextOf(body));
  }
});

test('the answer tells the parameters with the defaults of what was left out', async () => {
  const { parameters } = (await server.json('POST', api('txt2img'), { steps: 1, width: 64, height: 64 }))
    .body as Generation;
  const { seed, cfg_scale, n_iter, sampler_index, scheduler, send_images, hr_scale, override_settings } = parameters;
  assert.deepEqual(
    [seed, cfg_scale, n_iter, sampler_index, scheduler, send_images, hr_scale, override_settings],
    [-1, 7, 1, 'Euler', null, true, 2, null],
  );
});

test('infotext gives what the request leaves out', async () => {
  const infotext =
    'a red apple\nNegative prompt: blue\nSteps: 3, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 77, Size: 64x64, Model: pocket, Clip skip: 2, Denoising strength: 0.5, Hires upscale: 1.5, Hires steps: 2, Hires upscaler: Latent';
  const made = (
    await server.json('POST', api('txt2img'), { infotext, steps: 2, override_settings: { samples_format: 'png' } })
  ).body as Generation;
  assert.match(
    infotextOf(made),
    /^a red apple\nNegative prompt: blue\nSteps: 2, Sampler: DPM\+\+ 2M, Schedule type: Karras, CFG scale: 5\.0, Seed: 77, Size: 64x64, .*Denoising strength: 0\.5, Clip skip: 2, Hires upscale: 1\.5, Hires steps: 2, Hires upscaler: Latent/,
  );
  const again = (await server.json('POST', api('txt2img'), { infotext: infotextOf(made) })).body as Generation;
  assert.equal(again.images[0], made.images[0]);
  const bare = (await server.json('POST', api('txt2img'), { ...small, infotext: 'only a prompt, no settings' }))
    .body as Generation;
  assert.equal(bare.parameters['prompt'], small.prompt);
  const wrong = await server.json('POST', api('txt2img'), { infotext: 'x\nSteps: many, Sampler: Euler, Seed: 5' });
  assert.deepEqual(
    [wrong.status, (wrong.body as { detail: { loc: unknown }[] }).detail[0]?.loc],
    [422, ['body', 'infotext', 'steps']],
  );
});

test('scripts that A1111 has built in may be sent along; others are not there', async () => {
  const alwayson_scripts = {
    Seed: { args: [-1, false, -1, 0, 0, 0] },
    Sampler: { args: [20, 'Euler a', 'Karras'] },
    Refiner: { args: [false, '', 0.8] },
    Comments: {},
    'Extra options': { args: [] },
    'Soft inpainting': { args: [true, 1] },
  };
  assert.equal(
    (
      await server.json('POST', api('txt2img'), {
        ...small,
        alwayson_scripts,
        force_task_id: 'task(x)',
        save_images: true,
        script_name: '',
        script_args: [],
      })
    ).status,
    200,
  );
  for (const wrong of [{ alwayson_scripts: { ADetailer: { args: [{}] } } }, { script_name: 'X/Y/Z plot' }]) {
    const { status, body } = await server.json('POST', api('txt2img'), { ...small, ...wrong });
    assert.equal(status, 422);
    assert.deepEqual((body as { detail: { loc: unknown }[] }).detail[0]?.loc, ['body', Object.keys(wrong)[0]]);
  }
});

test('progress is above 0 while a picture is made, with a preview, and 0 before and after; interrupt gives what there is', async () => {
  const progress = async () =>
    (await server.json('GET', api('progress'))).body as {
      progress: number;
      eta_relative: number;
      state: Record<string, number>;
      current_image: string | null;
    };
  const idle = await progress();
  assert.equal(idle.progress, 0);
  assert.equal(idle.state['job_count'], 0);
  const making = server.json('POST', api('txt2img'), { ...small, steps: 150, n_iter: 2 });
  let seen = await progress();
  for (let i = 0; i < 300 && !seen.current_image; i++) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    seen = await progress();
  }
  assert.ok(seen.progress > 0 && seen.progress < 1);
  assert.equal(seen.state['job_count'], 2);
  assert.equal(seen.state['sampling_steps'], 150);
  assert.ok((seen.state['sampling_step'] ?? 0) > 0);
  assert.equal((await decode(seen.current_image ?? '')).channels, 3);
  assert.equal(
    ((await server.json('GET', `${api('progress')}?skip_current_image=true`)) as { body: { current_image: null } }).body
      .current_image,
    null,
  );
  assert.deepEqual((await server.json('POST', api('interrupt'))).body, {});
  const { status, body } = await making;
  assert.equal(status, 200);
  const made = body as Generation;
  assert.equal(made.images.length, 1, 'the unfinished picture of the first iteration');
  assert.equal((JSON.parse(made.info) as { interrupted: boolean }).interrupted, true);
  assert.equal((await progress()).state['job_count'], 0);
});

test('a request may name its job, and asks for its progress by that name', async () => {
  interface Told {
    readonly active: boolean;
    readonly queued: boolean;
    readonly completed: boolean;
    readonly progress: number | null;
    readonly live_preview: string | null;
    readonly id_live_preview: number;
  }
  const ask = async (id_task: string, more: object = {}): Promise<Told> =>
    (await server.json('POST', '/internal/progress', { id_task, id_live_preview: -1, ...more })).body;
  assert.deepEqual(await ask('task(none)'), {
    active: false,
    queued: false,
    completed: false,
    progress: null,
    eta: null,
    live_preview: null,
    id_live_preview: -1,
    textinfo: 'Waiting...',
  });
  const making = server.json('POST', api('txt2img'), { ...small, steps: 150, n_iter: 3, force_task_id: 'task(one)' });
  let told = await ask('task(one)');
  for (let i = 0; i < 300 && !told.live_preview; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    told = await ask('task(one)');
  }
  assert.ok(told.active && (told.progress ?? 0) > 0);
  assert.match(told.live_preview ?? '', /^data:image\/jpeg;base64,/);
  assert.equal((await ask('task(one)', { live_preview: false })).live_preview, null);
  const second = server.json('POST', api('txt2img'), { ...small, force_task_id: 'task(two)' });
  for (let i = 0; i < 200 && !(await ask('task(two)')).queued; i++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual((await server.json('GET', '/internal/pending-tasks')).body, { size: 1, tasks: ['task(two)'] });
  await server.json('POST', api('interrupt'));
  await Promise.all([making, second]);
  assert.equal((await ask('task(one)')).completed, true);
});

test('skip goes on with the next iteration', async () => {
  const making = server.json('POST', api('txt2img'), { ...small, steps: 60, n_iter: 2 });
  for (let i = 0; i < 200; i++) {
    const { body } = await server.json('GET', `${api('progress')}?skip_current_image=1`);
    if (((body as { state: Record<string, number> }).state['sampling_step'] ?? 0) > 2) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal((await server.json('POST', api('skip'))).body, null);
  assert.equal(((await making).body as Generation).images.length, 2);
});

test('options: read whole, posted back whole, changed, refused', async () => {
  const { body } = await server.json('GET', api('options'));
  const options = body as Record<string, unknown>;
  assert.match(String(options['sd_model_checkpoint']), /^pocket\.safetensors/);
  const posted = await server.json('POST', api('options'), { ...options, unknown_option: 5 });
  assert.equal(posted.status, 200);
  assert.equal(posted.body, null);
  assert.equal(
    (await server.json('POST', api('options'), { samples_format: 'webp', sd_model_checkpoint: 'pocket' })).status,
    200,
  );
  const made = (await server.json('POST', api('txt2img'), small)).body as Generation;
  assert.equal(
    Buffer.from(made.images[0] ?? '', 'base64')
      .subarray(8, 12)
      .toString(),
    'WEBP',
  );
  await server.json('POST', api('options'), { samples_format: 'png' });
  assert.equal((await server.json('POST', api('options'), { sd_model_checkpoint: 'no-such-model' })).status, 404);
  assert.equal((await server.json('POST', api('options'), { jpeg_quality: 'high' })).status, 422);
  const wrong = async (path: string, body: object): Promise<unknown> =>
    (await server.json('POST', api(path), body)).body;
  assert.deepEqual(await wrong('options', { samples_save: 'perhaps' }), {
    detail: [{ loc: ['body', 'samples_save'], msg: 'value could not be parsed to a boolean', type: 'type_error.bool' }],
  });
  assert.deepEqual(await wrong('txt2img', { override_settings: { CLIP_stop_at_last_layers: 'x' } }), {
    detail: [
      {
        loc: ['body', 'override_settings', 'CLIP_stop_at_last_layers'],
        msg: 'value is not a valid integer',
        type: 'type_error.integer',
      },
    ],
  });
  assert.equal(
    (
      await server.json('POST', api('txt2img'), {
        ...small,
        override_settings: { sd_model_checkpoint: '../../etc/passwd' },
      })
    ).status,
    404,
  );
});

test('lists', async () => {
  const list = async (name: string): Promise<never> => {
    const { status, body } = await server.json('GET', api(name));
    assert.equal(status, 200, name);
    return body;
  };
  const [model] = (await list('sd-models')) as Record<string, string>[];
  assert.equal(model?.['model_name'], 'pocket');
  assert.equal(model?.['filename'], 'pocket.safetensors', 'no path of the machine');
  const names = (rows: { name: string }[]): string[] => rows.map(({ name }) => name);
  assert.ok(names(await list('samplers')).includes('DPM++ 2M'));
  assert.ok(names(await list('schedulers')).includes('karras'));
  assert.deepEqual(names(await list('upscalers')), ['None', 'Lanczos', 'Nearest']);
  assert.ok(names(await list('latent-upscale-modes')).includes('Latent (nearest-exact)'));
  for (const name of [
    'sd-vae',
    'loras',
    'hypernetworks',
    'face-restorers',
    'prompt-styles',
    'extensions',
    'script-info',
  ])
    assert.deepEqual(await list(name), [], name);
  assert.deepEqual(await list('embeddings'), { loaded: {}, skipped: {} });
  assert.ok(((await list('scripts')) as { txt2img: string[] }).txt2img.includes('seed'));
  assert.equal(typeof (await list('cmd-flags')), 'object');
  assert.ok((((await list('memory')) as { ram: { used: number } }).ram.used ?? 0) > 0);
  const { status: missing, body } = await server.json('GET', api('deepbooru'));
  assert.equal(missing, 404);
  assert.deepEqual(body, { detail: 'Not Found' });
  for (const name of ['refresh-checkpoints', 'refresh-vae', 'unload-checkpoint', 'reload-checkpoint'])
    assert.equal((await server.json('POST', api(name))).status, 200, name);
});

test('png-info reads what txt2img wrote', async () => {
  const made = (await server.json('POST', api('txt2img'), { ...small, negative_prompt: 'ugly' })).body as Generation;
  const { status, body } = await server.json('POST', api('png-info'), { image: made.images[0] });
  assert.equal(status, 200);
  const told = body as { info: string; items: Record<string, string>; parameters: Record<string, string> };
  assert.equal(told.info, (JSON.parse(made.info) as { infotexts: string[] }).infotexts[0]);
  assert.equal(told.parameters['Negative prompt'], 'ugly');
  assert.equal(told.items['parameters'], told.info);
  const { body: plain } = await server.json('POST', api('png-info'), { image: await base64Png(testImage(8, 8)) });
  assert.deepEqual((plain as { info: string; parameters: object }).info, '');
  assert.equal((await server.json('POST', api('png-info'), {})).status, 422);
});

test('extra-single-image enlarges by a factor and to a size', async () => {
  const image = await base64Png(testImage(40, 20));
  const size = async (body: object): Promise<number[]> => {
    const { status, body: answer } = await server.json('POST', api('extra-single-image'), {
      image,
      upscaler_1: 'Lanczos',
      ...body,
    });
    assert.equal(status, 200);
    const made = await decode((answer as { image: string }).image);
    return [made.width, made.height];
  };
  assert.deepEqual(await size({ upscaling_resize: 3 }), [120, 60]);
  assert.deepEqual(await size({ resize_mode: 1, upscaling_resize_w: 64, upscaling_resize_h: 64 }), [64, 64]);
  assert.deepEqual(
    await size({ resize_mode: 1, upscaling_resize_w: 64, upscaling_resize_h: 64, upscaling_crop: false }),
    [128, 64],
  );
  assert.deepEqual(await size({ upscaler_1: 'None' }), [40, 20]);
  assert.equal(
    (await server.json('POST', api('extra-single-image'), { image, upscaler_1: 'Lanczos', upscaling_resize: 1000 }))
      .status,
    422,
  );
  assert.equal(
    (await server.json('POST', api('extra-single-image'), { image, upscaler_1: 'R-ESRGAN 4x+' })).status,
    422,
  );
  assert.equal(
    (await server.json('POST', api('extra-single-image'), { image, upscaler_1: 'Lanczos', upscaler_2: 'R-ESRGAN 4x+' }))
      .status,
    422,
  );
  assert.equal(
    (await server.json('POST', api('extra-single-image'), { image, upscaler_1: 'Lanczos', gfpgan_visibility: 2 }))
      .status,
    422,
  );
  const blend = async (visibility: number): Promise<Uint8Array> => {
    const { body } = await server.json('POST', api('extra-single-image'), {
      image,
      upscaler_1: 'Lanczos',
      upscaler_2: 'Nearest',
      extras_upscaler_2_visibility: visibility,
    });
    return (await decode((body as { image: string }).image)).data;
  };
  const [none, half, all] = [await blend(0), await blend(0.5), await blend(1)];
  assert.notDeepEqual(none, all);
  assert.deepEqual(
    half,
    none.map((value, i) => Math.round(value + ((all[i] ?? 0) - value) / 2)),
  );
});

test("what Gradio answers: the page's hires. upscalers, and that somebody is there; other methods of a path", async () => {
  const { body } = await server.json('GET', '/config');
  const [upscaler] = (body as { components: { props: { elem_id: string; choices: string[] } }[] }).components;
  assert.equal(upscaler?.props.elem_id, 'txt2img_hr_upscaler');
  assert.ok(upscaler.props.choices.includes('Latent') && upscaler.props.choices.includes('Lanczos'));
  for (const path of ['/app_id', '/user', '/login_check'])
    assert.equal((await server.json('GET', path)).status, 200, path);
  const wrong = await server.json('GET', api('txt2img'));
  assert.deepEqual(
    [wrong.status, wrong.headers.get('allow'), wrong.body],
    [405, 'POST', { detail: 'Method Not Allowed' }],
  );
  const { status, headers } = await server.json('POST', '/api/v1/jobs/x');
  assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD, DELETE']);
});

test('settings without effect are named in the answer', async () => {
  const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', {
    ...{ prompt: 'x', steps: 1, width: 64, height: 64, seed: 1 },
    ...{ tiling: true, restore_faces: true, styles: ['x'], override_settings: { sd_vae: 'x.safetensors' } },
  });
  assert.equal(status, 200);
  const { warnings } = JSON.parse((body as { info: string }).info) as { warnings: readonly string[] };
  assert.deepEqual(
    warnings.map((line) => line.split(' ', 1)[0]),
    ['restore_faces', 'the', 'override_settings.sd_vae'],
  );
});

test('seeds as in A1111: only -1 draws one; other negative seeds and those beyond 2^53 are kept', async () => {
  const seedsOf = async (seed: unknown): Promise<readonly unknown[]> => {
    const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', {
      prompt: 'x',
      steps: 1,
      width: 64,
      height: 64,
      batch_size: 2,
      seed,
    });
    assert.equal(status, 200);
    return (JSON.parse((body as { info: string }).info) as { all_seeds: unknown[] }).all_seeds;
  };
  assert.deepEqual(await seedsOf(-5), [-5, -4]);
  assert.deepEqual(await seedsOf('18446744073709551610'), ['18446744073709551610', '18446744073709551611']);
  assert.notDeepEqual(await seedsOf(-1), await seedsOf(-1));
});
