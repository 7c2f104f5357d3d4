/** Image to image, inpainting, hires. fix and enlarging through the A1111 API. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { base64Png, decode, startTestServer, type TestServer, testImage } from './start.ts';
import { api, type Generation, small, infotextOf } from './a1111-requests.ts';

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server.stop());

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
