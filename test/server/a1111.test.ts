/** Text to image through the A1111 API as its clients use it, against the pocket model. */

import assert from 'node:assert/strict';
import { resultOf } from '../pipelines/result.ts';
import test, { after, before } from 'node:test';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { loadModel, textToImage, type TextToImageOptions } from '../../src/index.ts';
import { decode, startTestServer, type TestServer } from './start.ts';
import { api, type Generation, small, infotextOf } from './a1111-requests.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

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

test('settings without effect are named in the answer', async () => {
  const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', {
    ...{ prompt: 'x', steps: 1, width: 64, height: 64, seed: 1 },
    ...{ tiling: true, restore_faces: true, styles: ['x'], override_settings: { sd_vae: 'x.safetensors' } },
  });
  assert.equal(status, 200);
  const { warnings } = JSON.parse((body as { info: string }).info) as { warnings: readonly string[] };
  assert.deepEqual(
    warnings.map((line) => line.split(' ', 1)[0]),
    ["Couldn't", 'restore_faces', 'the'],
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
  assert.deepEqual(await seedsOf('18446744073709551614'), ['18446744073709551614', '18446744073709551615']);
  assert.notDeepEqual(await seedsOf(-1), await seedsOf(-1));
});
