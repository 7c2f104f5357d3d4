/** Several checkpoints in a folder, chosen by name in each API; models that cannot be used; URLs of pictures. */

import { ldmUNet } from '../../src/config/network-config.ts';
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { parseInfotext } from '../../src/image/metadata/infotext.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { fetchPicture } from '../../src/server/http/fetch-picture.ts';
import { isPublicAddress } from '../../src/files/public-address-node.ts';
import { writeLora } from '../../src/adapters/lora/write-lora.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { decode, startTestServer, type TestServer } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-models-'));
const add = (name: string): string => {
  copyFileSync(pocketModel, join(folder, name));
  copyFileSync(pocketModel.replace(/\.safetensors$/, '.yaml'), join(folder, name.replace(/\.\w+$/, '.yaml')));
  return join(folder, name);
};
let server: TestServer;
before(async () => {
  add('second.safetensors');
  truncateSync(add('broken.safetensors'), 100_000);
  writeFileSync(join(folder, 'notes.txt'), 'not a model');
  server = await startTestServer({ modelsFolder: folder });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

const small = { prompt: 'a red apple', width: 64, height: 64, steps: 2, seed: 1 };
interface Generation {
  readonly images: readonly string[];
  readonly info: string;
}
const modelOf = (body: unknown): unknown =>
  parseInfotext((JSON.parse((body as Generation).info) as { infotexts: string[] }).infotexts[0] ?? '')['Model'];

test('models of the folder go by their names; one that is broken is told by its name alone', async () => {
  const rows = (await server.json('GET', '/sdapi/v1/sd-models')).body as { model_name: string; filename: string }[];
  assert.deepEqual(
    rows.map((row) => row.model_name),
    ['pocket', 'broken', 'second'],
  );
  const { models } = (await server.json('GET', '/api/v1/server')).body as {
    models: { name: string; isDefault: boolean }[];
  };
  assert.deepEqual(
    models.map(({ name, isDefault }) => [name, isDefault]),
    [
      ['pocket', true],
      ['second', false],
    ],
  );
  const { status, body } = await server.json('POST', '/api/v1/jobs', { ...small, model: 'broken' });
  assert.ok(status === 422 || status === 500, `${status}`);
  assert.match(JSON.stringify(body), /broken/);
  assert.equal(JSON.stringify(body).includes(folder), false, 'not where it lies');
});

test("a model is chosen by override_settings, by the options, and by OpenAI's model", async () => {
  const chosen = async (body: object): Promise<unknown> =>
    modelOf((await server.json('POST', '/sdapi/v1/txt2img', { ...small, ...body })).body);
  assert.equal(await chosen({}), 'pocket');
  assert.equal(await chosen({ override_settings: { sd_model_checkpoint: 'second' } }), 'second');
  assert.equal(await chosen({}), 'pocket', 'for that request alone');
  const [, , second] = (await server.json('GET', '/sdapi/v1/sd-models')).body as { title: string }[];
  assert.equal((await server.json('POST', '/sdapi/v1/options', { sd_model_checkpoint: second?.title })).status, 200);
  assert.equal(await chosen({}), 'second');
  assert.equal((await server.json('POST', '/sdapi/v1/options', { sd_model_checkpoint: 'none' })).status, 404);
  const { body } = await server.json('POST', '/v1/images/generations', {
    prompt: 'x',
    model: 'second',
    size: '64x64',
    steps: 2,
  });
  assert.equal((body as { data: object[] }).data.length, 1);
});

test('the second pass of hires. fix by another model', async () => {
  const hires = {
    ...small,
    override_settings: { sd_model_checkpoint: 'pocket' },
    enable_hr: true,
    hr_scale: 1.5,
    denoising_strength: 0.5,
  };
  const made = async (
    more: object,
  ): Promise<{ readonly image: string; readonly hires: unknown; readonly model: unknown }> => {
    const { status, body } = await server.json('POST', '/sdapi/v1/txt2img', { ...hires, ...more });
    assert.equal(status, 200, JSON.stringify(body));
    const fields = parseInfotext((JSON.parse((body as Generation).info) as { infotexts: string[] }).infotexts[0] ?? '');
    return { image: (body as Generation).images[0] ?? '', hires: fields['Hires checkpoint'], model: fields['Model'] };
  };
  const [same, other] = [await made({}), await made({ hr_checkpoint_name: 'second' })];
  assert.deepEqual([same.hires, other.hires, other.model], ['Use same checkpoint', 'second', 'pocket']);
  assert.deepEqual(
    (await decode(other.image)).data,
    (await decode(same.image)).data,
    'the same weights under another name',
  );
  const broken = await server.json('POST', '/sdapi/v1/txt2img', { ...hires, hr_checkpoint_name: 'broken' });
  assert.ok(broken.status === 422 || broken.status === 500, `${broken.status}`);
  assert.equal(JSON.stringify(broken.body).includes(folder), false);
});

test("LoRAs and textual inversions of the operator's folders, as A1111 names them in prompts", async () => {
  const adapters = mkdtempSync(join(tmpdir(), 'sd-adapters-'));
  const checkpoint = await openCheckpointAt(pocketModel);
  const generator = new TorchGenerator(0);
  const name = 'middle_block.1.transformer_blocks.0.attn2.to_v.weight';
  const [out = 0, into = 0] = checkpoint.parts.unet.entries.get(name)?.shape ?? [];
  const factors = [
    {
      network: 'unet' as const,
      tensor: name,
      down: generator.randn([4, into]),
      up: generator.randn([out, 4]),
      alpha: 4,
    },
  ];
  await writeFileAtomic(
    join(adapters, 'style.safetensors'),
    writeLora(factors, { layout: 'kohya', unet: ldmUNet(checkpoint.config.unet_config) }),
  );
  const width = ldmUNet(checkpoint.config.unet_config).context_dim ?? 0;
  await checkpoint.close();
  for (const [file, of] of [
    ['mine', width],
    ['of-another-model', width + 8],
  ] as const) {
    const vectors = generator.randn([2, of]);
    await writeFileAtomic(
      join(adapters, `${file}.safetensors`),
      writeSafetensors([{ name: 'emb_params', dtype: 'float32', shape: vectors.shape }], () => vectors),
    );
  }
  const adapted = await startTestServer({ lorasFolder: adapters, embeddingsFolder: adapters });
  try {
    const lists = async (path: string): Promise<unknown> => (await adapted.json('GET', `/sdapi/v1/${path}`)).body;
    assert.deepEqual(
      ((await lists('loras')) as { name: string }[]).map((row) => row.name),
      ['mine', 'of-another-model', 'style'],
    );
    assert.deepEqual(((await lists('embeddings')) as { loaded: Record<string, object> }).loaded['mine'], {
      step: null,
      sd_checkpoint: null,
      sd_checkpoint_name: null,
      shape: width,
      vectors: 2,
    });
    const make = async (prompt: string): Promise<Generation> =>
      (await adapted.json('POST', '/sdapi/v1/txt2img', { ...small, prompt })).body;
    const plain = await make('a cat');
    const styled = await make('a cat<lora:style:0.8>');
    assert.notEqual(styled.images[0], plain.images[0]);
    assert.match((JSON.parse(styled.info) as { infotexts: string[] }).infotexts[0] ?? '', /^a cat<lora:style:0\.8>\n/);
    const pixels = async ({ images }: Generation): Promise<Uint8Array> => (await decode(images[0] ?? '')).data;
    assert.deepEqual(
      await pixels(await make('a cat<lora:none:1><lora:style:0>')),
      await pixels(plain),
      'one that is not there, and one of no strength',
    );
    assert.notDeepEqual(await pixels(await make('a mine')), await pixels(await make('a yours')));
    // The second pass of hires. fix has the LoRAs of its own prompt.
    const hires = async (hr_prompt: string): Promise<Generation> =>
      (
        await adapted.json('POST', '/sdapi/v1/txt2img', {
          ...small,
          prompt: 'a cat<lora:style:0.8>',
          enable_hr: true,
          hr_scale: 1.5,
          hr_prompt,
        })
      ).body;
    assert.notDeepEqual(await pixels(await hires('')), await pixels(await hires('a cat')));
    assert.deepEqual(await pixels(await hires('')), await pixels(await hires('a cat <lora:style:0.8>')));
    const refused = await make('a cat<lora:mine:1>');
    assert.match(JSON.stringify(refused), /mine/, 'a file that is no LoRA is told');
    assert.equal(JSON.stringify(refused).includes(adapters), false);
  } finally {
    await adapted.stop();
    rmSync(adapters, { recursive: true, force: true });
  }
});

test('refresh-checkpoints finds a file that was put there later', async () => {
  add('third.safetensors');
  await server.json('POST', '/sdapi/v1/refresh-checkpoints');
  const { data } = (await server.json('GET', '/v1/models')).body as { data: { id: string }[] };
  assert.deepEqual(
    data.map(({ id }) => id),
    ['pocket', 'broken', 'second', 'third'],
  );
});

test('addresses of the public internet and others', () => {
  for (const address of ['8.8.8.8', '1.1.1.1', '2606:4700::1111'])
    assert.equal(isPublicAddress(address), true, address);
  for (const address of [
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '255.255.255.255',
    '224.0.0.1',
    '198.51.100.1',
    '::1',
    '::',
    'fe80::1',
    'fc00::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '2001:db8::1',
    'example.org',
  ])
    assert.equal(isPublicAddress(address), false, address);
});

test('a URL is followed to public addresses alone, at every redirect, and within its size', async () => {
  const site = createServer((request, response) => {
    if (request.url === '/a.png') response.end('picture');
    else if (request.url === '/large') response.end(Buffer.alloc(5000));
    else if (request.url === '/loop') response.writeHead(302, { location: '/loop' }).end();
    else if (request.url === '/moved') response.writeHead(301, { location: '/a.png' }).end();
    else if (request.url === '/inside')
      response
        .writeHead(302, { location: `http://inside.example:${(site.address() as AddressInfo).port}/a.png` })
        .end();
    else if (request.url === '/file') response.writeHead(302, { location: 'file:///etc/passwd' }).end();
    else if (request.url === '/slow') response.write('x');
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => site.listen(0, '127.0.0.1', resolve));
  // The site stands for one on the internet: its address counts as public, that of inside.example not.
  const names: Record<string, string> = { 'site.example': '127.0.0.1', 'inside.example': '127.0.0.2' };
  const asked: string[] = [];
  const get = (path: string, host = 'site.example') =>
    fetchPicture(`http://${host}:${(site.address() as AddressInfo).port}${path}`, {
      maxBytes: 1000,
      timeoutMilliseconds: 500,
      isAllowed: (address) => address === '127.0.0.1',
      resolve: async (name) => {
        asked.push(name);
        return [{ address: names[name] ?? '127.0.0.3', family: 4 }];
      },
    });
  try {
    assert.equal(Buffer.from(await get('/a.png')).toString(), 'picture');
    assert.equal(Buffer.from(await get('/moved')).toString(), 'picture');
    await assert.rejects(get('/a.png', 'inside.example'), { code: 'forbidden' });
    await assert.rejects(get('/inside'), { code: 'forbidden' });
    await assert.rejects(get('/file'), { code: 'forbidden' });
    await assert.rejects(get('/large'), { code: 'too-large' });
    await assert.rejects(get('/loop'), { code: 'network' });
    await assert.rejects(get('/nowhere'), { code: 'network' });
    await assert.rejects(get('/slow'), { code: 'network' });
    assert.ok(asked.includes('inside.example'), 'the name is looked up when the connection is made');
  } finally {
    site.closeAllConnections();
    site.close();
  }
});
