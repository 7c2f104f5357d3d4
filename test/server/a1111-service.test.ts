/** Answers of the A1111 API other than pictures: progress, options, lists, scripts, settings of a picture. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';
import { api, type Generation, small, infotextOf } from './a1111-requests.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

/** Asks again and again, until the answer is the one that is waited for, or the work has ended without it. */
async function untilTold<T>(work: Promise<unknown>, ask: () => Promise<T>, isIt: (told: T) => boolean): Promise<T> {
  let hasEnded = false;
  const end = (): void => {
    hasEnded = true;
  };
  work.then(end, end);
  for (;;) {
    const told = await ask();
    if (hasEnded || isIt(told)) return told;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('samplers and schedules go by the names of A1111 in the settings', async () => {
  for (const [sampler_name, scheduler, line] of [
    ['DPM++ 2M karras', undefined, 'Sampler: DPM++ 2M, Schedule type: Karras'],
    ['DPM++ 2M', 'Automatic', 'Sampler: DPM++ 2M, Schedule type: Karras'],
    ['k_euler_a', 'automatic', 'Sampler: Euler a, Schedule type: Automatic'],
    ['Euler SGM Uniform', 'automatic', 'Sampler: Euler, Schedule type: SGM Uniform'],
    ['DPM++ 2M Karras', 'exponential', 'Sampler: DPM++ 2M, Schedule type: Exponential'],
    ['DDIM', '', 'Sampler: DDIM, Schedule type: Automatic'],
    // SillyTavern and others send their schedule with every sampler; these read none.
    ['DDIM', 'karras', 'Sampler: DDIM, Schedule type: Karras'],
    ['PLMS', 'SGM Uniform', 'Sampler: PLMS, Schedule type: SGM Uniform'],
    ['UniPC', 'Exponential', 'Sampler: UniPC, Schedule type: Exponential'],
  ]) {
    const { body } = await server.json('POST', api('txt2img'), { ...small, sampler_name, scheduler });
    assert.ok(infotextOf(body).includes(`${line},`), infotextOf(body));
  }
});

test('a schedule that nobody knows is refused with every sampler', async () => {
  for (const sampler_name of ['DDIM', 'UniPC', 'Euler'])
    assert.equal(
      (await server.json('POST', api('txt2img'), { ...small, sampler_name, scheduler: 'Magic' })).status,
      422,
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
  for (const wrong of [{ alwayson_scripts: { ADetailer: { args: [{}] } } }, { script_name: 'Ultimate SD upscale' }]) {
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
  const seen = await untilTold(making, progress, ({ current_image }) => Boolean(current_image));
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
  const told = await untilTold(
    making,
    () => ask('task(one)'),
    ({ live_preview }) => Boolean(live_preview),
  );
  assert.ok(told.active && (told.progress ?? 0) > 0);
  assert.match(told.live_preview ?? '', /^data:image\/jpeg;base64,/);
  assert.equal((await ask('task(one)', { live_preview: false })).live_preview, null);
  const second = server.json('POST', api('txt2img'), { ...small, force_task_id: 'task(two)' });
  await untilTold(
    second,
    () => ask('task(two)'),
    ({ queued }) => Boolean(queued),
  );
  assert.deepEqual((await server.json('GET', '/internal/pending-tasks')).body, { size: 1, tasks: ['task(two)'] });
  await server.json('POST', api('interrupt'));
  await Promise.all([making, second]);
  assert.equal((await ask('task(one)')).completed, true);
});

test('skip goes on with the next iteration', async () => {
  const making = server.json('POST', api('txt2img'), { ...small, steps: 60, n_iter: 2 });
  await untilTold(
    making,
    () => server.json('GET', `${api('progress')}?skip_current_image=1`),
    ({ body }) => ((body as { state: Record<string, number> }).state['sampling_step'] ?? 0) > 2,
  );
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
  for (const name of ['sd-vae', 'loras', 'hypernetworks', 'face-restorers', 'prompt-styles', 'extensions'])
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
