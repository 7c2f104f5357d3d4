/** OpenAI's images API, by the unmodified `openai` package against a running server. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import OpenAI, { toFile } from 'openai';
import { createImage } from '../../src/image/image.ts';
import { decode, png, startTestServer, type TestServer, testImage } from './start.ts';

const secret = 'a-secret-of-bob';
let server: TestServer;
let client: OpenAI;
before(async () => {
  server = await startTestServer({ keys: [{ name: 'bob', secret }] });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: secret, maxRetries: 0 });
});
after(() => server.stop());

const small = { model: 'gpt-image-1', prompt: 'a red apple', size: '64x64', quality: 'low' } as const;
/** Sizes that OpenAI has not. */
type Generate = Parameters<OpenAI['images']['generate']>[0];
const generate = (body: object = {}): Promise<OpenAI.ImagesResponse> =>
  client.images.generate({ ...small, ...body } as Generate & { stream?: false });
const file = async (image: Parameters<typeof png>[0], name = 'picture.png') =>
  toFile(await png(image), name, { type: 'image/png' });
const sizeOf = async (base64: string | undefined): Promise<number[]> => {
  const { width, height } = await decode(base64 ?? '');
  return [width, height];
};
const refusal = async (work: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> => {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  assert.ok(error instanceof OpenAI.APIError, String(error));
  return error;
};

test('generate: several pictures as base64', async () => {
  const { created, data = [], size, output_format } = await generate({ n: 2 });
  assert.ok(Math.abs(created - Date.now() / 1000) < 60);
  assert.equal(data.length, 2);
  assert.notEqual(data[0]?.b64_json, data[1]?.b64_json);
  assert.deepEqual(await sizeOf(data[0]?.b64_json), [64, 64]);
  assert.deepEqual([size, output_format], ['64x64', 'png']);
});

test('generate: formats, and fields of our own', async () => {
  const { data: [jpeg] = [] } = await generate({ output_format: 'jpeg', output_compression: 80 });
  assert.deepEqual([...Buffer.from(jpeg?.b64_json ?? '', 'base64').subarray(0, 2)], [0xff, 0xd8]);
  const own = { seed: 5, steps: 2, sampler: 'Euler', negative_prompt: 'blue', guidance_scale: 3 };
  const [first, again] = [await generate(own), await generate(own)];
  assert.equal(first.data?.[0]?.b64_json, again.data?.[0]?.b64_json);
});

test('generate: a url that needs no key, and expires', async () => {
  const { data: [picture] = [] } = await generate({ model: 'dall-e-2', quality: 'standard', response_format: 'url' });
  const url = picture?.url ?? '';
  assert.equal(picture?.b64_json, undefined);
  const answer = await fetch(url);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('content-type'), 'image/png');
  assert.deepEqual(await sizeOf(Buffer.from(await answer.arrayBuffer()).toString('base64')), [64, 64]);
  const changed = new URL(url);
  changed.searchParams.set('expires', String(Number(changed.searchParams.get('expires')) + 1));
  assert.equal((await fetch(changed)).status, 401, 'a signature is good for its own time alone');
  assert.equal((await fetch(url.split('?')[0] ?? '')).status, 401);
});

test('generate: partial pictures while it is made', async () => {
  const stream = await client.images.generate({
    ...small,
    stream: true,
    partial_images: 2,
  } as unknown as OpenAI.ImageGenerateParamsStreaming);
  const events: OpenAI.ImageGenStreamEvent[] = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['image_generation.partial_image', 'image_generation.partial_image', 'image_generation.completed'],
  );
  assert.deepEqual(
    events.flatMap((event) => ('partial_image_index' in event ? [event.partial_image_index] : [])),
    [0, 1],
  );
  assert.deepEqual(await sizeOf(events[2]?.b64_json), [64, 64]);
  assert.equal((await decode(events[0]?.b64_json ?? '')).channels, 3);
});

test('edit: the transparent part of a mask is painted anew', async () => {
  const source = testImage(64, 64);
  const mask = createImage(64, 64, 4, new Uint8Array(64 * 64 * 4).fill(255));
  for (let y = 16; y < 48; y++) for (let x = 16; x < 48; x++) mask.data[(y * 64 + x) * 4 + 3] = 0;
  const { data: [made] = [] } = await client.images.edit({
    ...small,
    size: undefined,
    image: await file(source),
    mask: await file(mask, 'mask.png'),
  } as unknown as OpenAI.ImageEditParamsNonStreaming);
  const { data, width, height } = await decode(made?.b64_json ?? '');
  assert.deepEqual([width, height], [64, 64], 'the size of the picture');
  const at = (pixels: Uint8Array, x: number, y: number): number[] => [
    ...pixels.subarray((y * 64 + x) * 3, (y * 64 + x) * 3 + 3),
  ];
  assert.deepEqual(at(data, 2, 2), at(source.data, 2, 2));
  assert.notDeepEqual(at(data, 32, 32), at(source.data, 32, 32));
});

test('generate: all parameters of the later models', async () => {
  const asked = {
    background: 'auto',
    output_format: 'webp',
    output_compression: 50,
    quality: 'auto',
    moderation: 'low',
    user: 'somebody',
    style: 'vivid',
    steps: 2,
  };
  const { data: [made] = [], ...facts } = await generate(asked);
  assert.equal(
    Buffer.from(made?.b64_json ?? '', 'base64')
      .subarray(8, 12)
      .toString(),
    'WEBP',
  );
  const none = { image_tokens: 0, text_tokens: 0 };
  assert.deepEqual(
    { ...facts, created: 0 },
    {
      created: 0,
      background: 'opaque',
      output_format: 'webp',
      quality: 'medium',
      size: '64x64',
      usage: {
        input_tokens: 0,
        output_tokens: 0,
        total_tokens: 0,
        input_tokens_details: none,
        output_tokens_details: none,
      },
    },
  );
  // Partial pictures are in the format of the picture.
  for (const [output_format, magic] of [
    ['png', '89504e47'],
    ['webp', '52494646'],
    ['jpeg', 'ffd8ff'],
  ] as const) {
    const stream = await client.images.generate({
      ...small,
      output_format,
      stream: true,
      partial_images: 3,
    } as unknown as OpenAI.ImageGenerateParamsStreaming);
    let count = 0;
    for await (const event of stream) {
      assert.ok(
        Buffer.from(event.b64_json, 'base64').toString('hex').startsWith(magic),
        `${event.type} is ${output_format}`,
      );
      assert.equal(event.output_format, output_format);
      count++;
    }
    assert.equal(count, 4);
  }
});

test('edit: pictures in JSON', async () => {
  const image_url = `data:image/png;base64,${Buffer.from(await png(testImage(64, 64))).toString('base64')}`;
  const mask = createImage(64, 64, 4, new Uint8Array(64 * 64 * 4));
  const body = {
    ...small,
    images: [{ image_url }],
    mask: { image_url: `data:image/png;base64,${Buffer.from(await png(mask)).toString('base64')}` },
  };
  const { data: [made] = [] } = await client.post<OpenAI.ImagesResponse>('/images/edits', { body });
  assert.deepEqual(await sizeOf(made?.b64_json), [64, 64]);
  const none = await refusal(client.post('/images/edits', { body: small }));
  assert.deepEqual([none.status, none.param], [400, 'image']);
});

test('edit: several pictures as a list, and partial pictures', async () => {
  const image = [await file(testImage(64, 64)), await file(testImage(32, 32))];
  const stream = await client.images.edit({
    ...small,
    image,
    stream: true,
    partial_images: 1,
  } as unknown as OpenAI.ImageEditParamsStreaming);
  const types: string[] = [];
  for await (const event of stream) types.push(event.type);
  assert.deepEqual(types, ['image_edit.partial_image', 'image_edit.completed']);
});

test('variations', async () => {
  const { data = [] } = await client.images.createVariation({
    image: await file(testImage(64, 64)),
    n: 2,
    response_format: 'b64_json',
    model: 'dall-e-2',
  });
  assert.equal(data.length, 2);
  assert.deepEqual(await sizeOf(data[1]?.b64_json), [64, 64]);
});

test('models', async () => {
  const names: string[] = [];
  for await (const { id } of client.models.list()) names.push(id);
  assert.deepEqual(names, ['pocket']);
  assert.equal((await client.models.retrieve('pocket')).object, 'model');
  assert.equal((await refusal(client.models.retrieve('none'))).code, 'model_not_found');
});

test("errors are in OpenAI's shape", async () => {
  const wrongs: readonly (readonly [body: object, status: number, param: string])[] = [
    [{ size: 'huge' }, 400, 'size'],
    [{ prompt: '' }, 400, 'prompt'],
    [{ n: 50 }, 400, 'n'],
    [{ model: 'none' }, 404, 'model'],
    [{ background: 'transparent' }, 400, 'background'],
    [{ size: '99999x64' }, 400, 'size'],
  ];
  for (const [body, status, param] of wrongs) {
    const error = await refusal(generate(body));
    assert.deepEqual(
      [error.status, error.param, error.type],
      [status, param, 'invalid_request_error'],
      JSON.stringify(body),
    );
    assert.equal(error.code, status === 404 ? 'model_not_found' : 'invalid_value');
  }
  const notAPicture = await refusal(
    client.images.edit({
      ...small,
      image: await toFile(new TextEncoder().encode('not a picture'), 'a.png'),
    } as OpenAI.ImageEditParamsNonStreaming),
  );
  assert.deepEqual([notAPicture.status, notAPicture.param], [400, 'image']);
  const stranger = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'wrong', maxRetries: 0 });
  const denied = await refusal(stranger.images.generate(small as unknown as Generate));
  assert.ok(denied instanceof OpenAI.AuthenticationError);
  assert.equal(denied.code, 'invalid_api_key');
  assert.equal((await refusal(client.get('/nowhere'))).code, 'unknown_url');
});

test('a client that goes takes its job with it', async () => {
  const going = new AbortController();
  const asked = client.images.generate({ ...small, steps: 150, n: 10 } as unknown as Generate, {
    signal: going.signal,
  });
  const jobs = async () =>
    (
      (await server.json('GET', '/api/v1/jobs?limit=1', undefined, { 'x-api-key': secret })).body as {
        jobs: { state: string }[];
      }
    ).jobs[0]?.state;
  while ((await jobs()) !== 'running') await new Promise((resolve) => setTimeout(resolve, 10));
  going.abort();
  await assert.rejects(asked);
  while (['queued', 'running'].includes(String(await jobs()))) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(await jobs(), 'cancelled');
});
