/** Random prompts, bodies and pictures (fast-check): every answer is a reasoned one, and the server works afterwards. */

import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import fc from 'fast-check';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { readImageMetadata } from '../../src/image/metadata/image-metadata.ts';
import { routes } from '../../src/server/routes/index.ts';
import { base64Png, startTestServer, type TestServer, testImage } from './start.ts';
import { goodBodies, small } from './good-bodies.ts';

let server: TestServer;
before(async () => {
  // Small, so that what is accepted is soon made.
  server = await startTestServer({
    limits: { pixels: 64 * 64, steps: 2, pictures: 2, promptLength: 500, inputPixels: 256 * 256 },
  });
});
after(() => server.stop(0));

/** Routes of ComfyUI, whose refusals may be empty, as ComfyUI's own are. */
const mayBeSilent = new Set(routes.filter(({ flavour }) => flavour === 'comfyui').map(({ path }) => path));

/** 4xx says what was wrong; 5xx never happens; 2xx is fine. */
async function reasoned(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<number> {
  const response = await fetch(server.url + path, {
    method,
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  assert.ok(
    response.status < 500,
    `${method} ${path} ${JSON.stringify(body)?.slice(0, 500)}: ${response.status} ${text}`,
  );
  if (response.status >= 400 && !mayBeSilent.has(path)) assert.ok(text.length > 10, 'it says why');
  return response.status;
}

/** What prompts are made of: letters of all kinds, half surrogates, and the signs of A1111's language. */
const prompt = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(
      fc.constantFrom(
        '(',
        ')',
        '[',
        ']',
        ':',
        '1.5',
        '-3',
        '1e309',
        '|',
        'BREAK',
        ' AND ',
        '<lora:x:1>',
        '<hypernet:',
        '\\',
        '\0',
        '\ud800',
        '\udfff',
        '﷽',
        '👩‍👩‍👧',
        'a',
        ' ',
        '\n',
        '{',
        '}',
        '$',
        '%s',
        "';--",
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join('')),
);

test('any prompt gives a picture that says its prompt', async () => {
  await fc.assert(
    fc.asyncProperty(prompt, prompt, async (positive, negative) => {
      const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', {
        ...small,
        prompt: positive,
        negative_prompt: negative,
      });
      assert.equal(status, 200, JSON.stringify([positive, negative, body]));
      const { images, info } = body as { images: string[]; info: string };
      const told = JSON.parse(info) as { prompt: string; infotexts: string[] };
      assert.ok(readImageMetadata(new Uint8Array(Buffer.from(images[0] ?? '', 'base64'))).parameters !== undefined);
      if (!/<(lora|lyco|hypernet):/.test(positive)) assert.equal(told.prompt, JSON.parse(JSON.stringify(positive)));
    }),
    { numRuns: 40 },
  );
});

const strange = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    -1,
    0,
    1e308,
    -1e308,
    2 ** 53,
    0.1,
    '',
    ' ',
    'NaN',
    'null',
    '-0',
    '1e999',
    [],
    {},
    [[]],
    { length: 1e9 },
    { toString: '' },
    null,
    true,
    '\0',
    '__proto__',
    '../../etc/passwd',
    'data:,',
    'http://127.0.0.1/',
  ),
);

test('any JSON as the body of any route', async () => {
  const posts = routes.filter(({ method, body }) => method === 'POST' && body);
  for (const { path } of posts) {
    await fc.assert(
      fc.asyncProperty(strange, async (body) => void (await reasoned('POST', path, body))),
      { numRuns: 15 },
    );
  }
});

test("a number beyond the bounds of the request is the caller's error", async () => {
  const init_images = [await base64Png(testImage(64, 64))];
  const body = { prompt: 'x', init_images, steps: 1, image_cfg_scale: 1e308 };
  assert.equal(await reasoned('POST', '/sdapi/v1/img2img', body), 422);
});

test('a good body with some strange fields', async () => {
  const image = await base64Png(testImage(64, 64));
  const mask = await base64Png(testImage(64, 64, 'mask'));
  const pictures = { image, mask };
  for (const [path, good, fields] of goodBodies) {
    const changes = fc.dictionary(fc.constantFrom(...fields), strange, { minKeys: 1, maxKeys: 3 });
    await fc.assert(
      fc.asyncProperty(
        changes,
        async (change) => void (await reasoned('POST', path, { ...good(pictures), ...change })),
      ),
      { numRuns: 40 },
    );
  }
});

test('any text in paths and queries', async () => {
  const word = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 80 })
    .map((text) => encodeURIComponent(Buffer.from(text).toString()));
  for (const [begin, end] of [
    ['/api/v1/jobs/', ''],
    ['/api/v1/jobs/', '/events'],
    ['/api/v1/results/', ''],
    ['/v1/models/', ''],
    ['/api/v1/jobs?before=', ''],
    ['/api/v1/jobs?limit=', ''],
    ['/api/v1/jobs?state=', ''],
    ['/sdapi/v1/progress?skip_current_image=', ''],
    ['/', ''],
  ] as const) {
    await fc.assert(
      fc.asyncProperty(word, async (text) => void (await reasoned('GET', begin + text + end))),
      { numRuns: 20 },
    );
  }
});

/** Changes some bytes, and cuts or repeats a part. */
const damage = fc.record({
  changes: fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
  cut: fc.option(fc.nat()),
  repeat: fc.option(fc.tuple(fc.nat(), fc.nat({ max: 64 }))),
});

function damaged(
  bytes: Uint8Array,
  { changes, cut, repeat }: typeof damage extends fc.Arbitrary<infer T> ? T : never,
): Uint8Array {
  let out = bytes.slice();
  for (const [at, value] of changes) out[at % out.length] = value;
  if (repeat) {
    const at = repeat[0] % out.length;
    out = Uint8Array.from([...out.subarray(0, at), ...out.subarray(at, at + repeat[1]), ...out.subarray(at)]);
  }
  return cut === null ? out : out.subarray(0, cut % out.length);
}

test('damaged pictures of all formats', async () => {
  const image = testImage(24, 16);
  const metadata = { parameters: 'a red apple\nSteps: 20, Sampler: Euler a, Seed: 1', record: { a: 1 } };
  const files = [
    await nodeImageCodec.encode(image, { format: 'png', metadata }),
    await nodeImageCodec.encode(image, { format: 'jpeg', metadata }),
    await nodeImageCodec.encode(image, { format: 'webp', metadata }),
    await nodeImageCodec.encode(image, { format: 'webp', lossless: true }),
    new Uint8Array(Buffer.from('47494638396101000100800000000000ffffff2c00000000010001000002024c01003b', 'hex')),
  ];
  for (const file of files) {
    await fc.assert(
      fc.asyncProperty(damage, async (how) => {
        const bytes = damaged(file, how);
        const text = Buffer.from(bytes).toString('base64');
        await reasoned('POST', '/api/v1/pictures', { image: text });
        await reasoned('POST', '/sdapi/v1/png-info', { image: text });
        const form = new FormData();
        form.append('image', new Blob([bytes as Uint8Array<ArrayBuffer>]), 'x.png');
        assert.ok((await fetch(`${server.url}/api/v1/pictures`, { method: 'POST', body: form })).status < 500);
      }),
      { numRuns: 60 },
    );
  }
});

test('text that is almost base64', async () => {
  const good = await base64Png(testImage(8, 8));
  const text = fc.oneof(
    fc.base64String(),
    fc.string({ unit: 'binary' }),
    fc.tuple(fc.nat({ max: good.length }), fc.string()).map(([at, more]) => good.slice(0, at) + more + good.slice(at)),
    fc.string().map((type) => `data:${type};base64,${good}`),
    fc.constant(`data:image/png;base64,`),
    fc.constant(good.replaceAll('A', 'A\n')),
  );
  await fc.assert(
    fc.asyncProperty(text, async (image) => void (await reasoned('POST', '/sdapi/v1/png-info', { image }))),
    { numRuns: 100 },
  );
});

test('and after all that it makes pictures', async () => {
  assert.equal(await reasoned('POST', '/sdapi/v1/txt2img', { ...small, prompt: 'a red apple' }), 200);
  const { body } = await server.json('GET', '/api/v1/jobs?state=failed&limit=100');
  const failed = (body as { jobs: { error: { code: string; message: string }; request: object }[] }).jobs;
  const unexplained = failed.filter(({ error }) => ['engine-failed', 'internal', 'not-finite'].includes(error.code));
  assert.deepEqual(unexplained, [], 'no accepted job failed for want of a check');
});
