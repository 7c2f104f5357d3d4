/** What is for a model of another family is refused by name in one line: on the command line, in A1111's API, in the jobs API, in workflows. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { modelFolders } from '../../src/cli/server-options.ts';
import { sd } from '../cli/run-cli.ts';
import { base64Png, png, startTestServer, type TestServer, testImage } from '../server/start.ts';
import { type FamilyName, said, writeFamilies } from './zero-families.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-refusals-'));
const models = join(folder, 'models');
const at = (kind: string, name: string): string => join(models, kind, `${name}.safetensors`);
const picturePath = join(folder, 'picture.png');
let picture: string;
let server: TestServer;

before(async () => {
  writeFamilies(folder);
  writeFileSync(picturePath, await png(testImage(64, 64)));
  picture = await base64Png(testImage(64, 64));
  server = await startTestServer({
    ...modelFolders({ comfyui: folder } as Parameters<typeof modelFolders>[0]),
    model: at('checkpoints', 'v1'),
    comfyuiModels: models,
    threads: 1,
  });
  const form = new FormData();
  form.set('image', new Blob([new Uint8Array(await png(testImage(64, 64)))]), 'picture.png');
  assert.equal((await fetch(`${server.url}/upload/image`, { method: 'POST', body: form })).status, 200);
});
after(async () => {
  await server.stop(0);
  rmSync(folder, { recursive: true, force: true });
});

/** Models, each with the family whose files are tried. */
const pairs: readonly (readonly [FamilyName, FamilyName])[] = [
  ['v1', 'xl'],
  ['xl', 'v1'],
  ['v2', 'v1'],
];
/** All kinds of files for two of the pairs; for the third, whose errors are made alike, the first. */
const tried = <T>(model: FamilyName, rows: readonly T[]): readonly T[] => rows.slice(0, model === 'v2' ? 1 : undefined);

const adapterOf = (family: FamilyName): string => `ip-adapter-${family}`;

/** `xl.safetensors is a LoRA for SDXL, and v1.safetensors is a Stable Diffusion 1 model. Use it with an SDXL model.` */
function sentence(what: string, model: FamilyName, file: FamilyName, name: string = file): RegExp {
  const [[family, use], [, own]] = [said[file], said[model]];
  return new RegExp(
    `${name}\\.safetensors is ${what} for ${family}, and [^\\n]*${model}\\.safetensors is ${own}\\. Use it with ${use}\\.`,
  );
}

const width = { v1: 768, v2: 1024, xl: 2048 } as const;

test('the command line', async () => {
  for (const [model, file] of pairs) {
    const kinds: [string, string[], string?][] = [
      ['a LoRA', ['--lora', at('loras', file)]],
      ['a textual inversion', ['--embedding', at('embeddings', file)]],
      ['a ControlNet', ['--control', `${at('controlnet', file)}=${picturePath}`]],
      ['an IP-Adapter', ['--ip-adapter', `${at('ipadapter', adapterOf(file))}=${picturePath}`], adapterOf(file)],
      ['an autoencoder \\(VAE\\)', ['--vae', at('vae', file)]],
      ['a T2I-Adapter', ['--control', `${at('controlnet', `t2i-${file}`)}=${picturePath}`], `t2i-${file}`],
    ];
    for (const [what, words, name] of tried(model, kinds)) {
      const output = join(folder, 'made.png');
      const run = ['txt2img', 'a cat', '--model', at('checkpoints', model), '--steps', '1', '--width', '64'];
      const { code, err } = await sd([...run, '--height', '64', '--output', output, '--quiet', ...words]);
      assert.equal(code, 1, `${model} ${words.join(' ')}: ${err}`);
      assert.match(err, sentence(what, model, file, name));
      assert.equal(err.trim().split('\n').length, 1);
    }
  }
});

const small = { prompt: 'a cat', steps: 1, width: 64, height: 64 };
const unit = (model: string) => ({
  alwayson_scripts: { ControlNet: { args: [{ enabled: true, module: 'none', model, image: picture }] } },
});

test('A1111’s API answers 422', async () => {
  for (const [model, file] of pairs) {
    const adapter = adapterOf(file);
    const rows: [string, object, string?][] = [
      ['a LoRA', { prompt: `a cat <lora:${file}:1>` }],
      [`a hypernetwork \\(width ${width[file]}\\)`, { prompt: `a cat <hypernet:${file}:1>` }],
      ['a ControlNet', unit(file)],
      ['an IP-Adapter', unit(adapter), adapter],
    ];
    for (const [what, body, name] of tried(model, rows)) {
      const answer = await server.json('POST', '/sdapi/v1/txt2img', {
        ...small,
        override_settings: { sd_model_checkpoint: model },
        ...body,
      });
      const text = JSON.stringify(answer.body);
      assert.equal(answer.status, 422, text.slice(0, 300));
      assert.match((answer.body as { detail: [{ msg: string }] }).detail[0].msg, sentence(what, model, file, name));
    }
  }
});

test('A1111’s list of embeddings has those of other families under skipped', async () => {
  for (const [model, shape] of Object.entries(width)) {
    await server.json('POST', '/sdapi/v1/options', { sd_model_checkpoint: model });
    const { body } = await server.json('GET', '/sdapi/v1/embeddings');
    const { loaded, skipped } = body as Record<
      'loaded' | 'skipped',
      Record<string, { shape: number; vectors: number }>
    >;
    assert.deepEqual(Object.keys(loaded), [model]);
    assert.deepEqual([loaded[model]?.shape, loaded[model]?.vectors], [shape, 2]);
    assert.deepEqual(
      Object.keys(skipped).sort(),
      Object.keys(width).filter((one) => one !== model),
    );
  }
});

async function jobError(body: object): Promise<{ readonly code: string; readonly message: string } | undefined> {
  const { body: job } = await server.json('POST', '/api/v1/jobs', { ...small, ...body });
  for (;;) {
    const { body: now } = await server.json('GET', `/api/v1/jobs/${(job as { id: string }).id}`);
    const { state, error } = now as { state: string; error?: { code: string; message: string } };
    if (['done', 'failed', 'cancelled'].includes(state)) return error;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('a job of the jobs API fails with the sentence', async () => {
  for (const [model, file] of pairs.slice(0, 1)) {
    const adapter = adapterOf(file);
    const rows: [string, object, string?][] = [
      ['a LoRA', { prompt: `a cat <lora:${file}:1>` }],
      ['a ControlNet', { control: [{ model: file, picture }] }],
      ['an IP-Adapter', { imagePrompts: [{ model: adapter, pictures: [picture] }] }, adapter],
    ];
    for (const [what, body, name] of tried(model, rows)) {
      const error = await jobError({ model, ...body });
      assert.equal(error?.code, 'weights-mismatch', JSON.stringify(error));
      assert.match(error?.message ?? '', sentence(what, model, file, name));
    }
  }
});

interface Node {
  readonly class_type: string;
  readonly inputs: Readonly<Record<string, unknown>>;
}
const node = (class_type: string, inputs: Node['inputs']): Node => ({ class_type, inputs });

/** A picture of a model, with nodes in between and links to them. */
function graph(
  model: FamilyName,
  nodes: Readonly<Record<string, Node>>,
  links: Readonly<Record<string, unknown>> = {},
) {
  const link = (name: string, usual: unknown): unknown => links[name] ?? usual;
  return {
    1: node('CheckpointLoaderSimple', { ckpt_name: `${model}.safetensors` }),
    2: node('CLIPTextEncode', { text: link('text', 'a cat'), clip: link('clip', ['1', 1]) }),
    3: node('EmptyLatentImage', { width: 64, height: 64, batch_size: 1 }),
    4: node('KSampler', {
      ...{ seed: 1, steps: 1, cfg: 1, sampler_name: 'euler', scheduler: 'normal', denoise: 1, latent_image: ['3', 0] },
      model: link('model', ['1', 0]),
      positive: link('positive', ['2', 0]),
      negative: ['2', 0],
    }),
    5: node('VAEDecode', { samples: ['4', 0], vae: link('vae', ['1', 2]) }),
    6: node('PreviewImage', { images: ['5', 0] }),
    ...nodes,
  };
}

/** The error of a workflow's run. */
async function workflowError(prompt: object): Promise<string> {
  const { status, body } = await server.json('POST', '/prompt', { prompt });
  assert.equal(status, 200, JSON.stringify(body));
  const { prompt_id: id } = body as { prompt_id: string };
  for (;;) {
    const history = (await server.json('GET', `/history/${id}`)).body as Record<
      string,
      { status: { messages: [string, { exception_message?: string }][] } }
    >;
    const messages = history[id]?.status.messages;
    if (messages) return messages.map(([, { exception_message }]) => exception_message ?? '').join('');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const load = node('LoadImage', { image: 'picture.png' });

test('a workflow stops at the node with the sentence', async () => {
  for (const [model, file] of pairs) {
    const name = `${file}.safetensors`;
    const lora = { lora_name: name, strength_model: 1, strength_clip: 1, model: ['1', 0], clip: ['1', 1] };
    const control = { conditioning: ['2', 0], control_net: ['7', 0], image: ['8', 0], strength: 1 };
    const adapter = { model: ['1', 0], ipadapter: ['7', 0], image: ['8', 0], clip_vision: ['10', 0], weight: 1 };
    const how = { weight_type: 'linear', combine_embeds: 'concat', start_at: 0, end_at: 1, embeds_scaling: 'V only' };
    const hypernetwork = { model: ['1', 0], hypernetwork_name: name, strength: 1 };
    const other = { 7: node('CheckpointLoaderSimple', { ckpt_name: name }) };
    const rows: [RegExp, object][] = [
      [sentence('a LoRA', model, file), graph(model, { 7: node('LoraLoader', lora) }, { model: ['7', 0] })],
      [sentence('a textual inversion', model, file), graph(model, {}, { text: `a embedding:${file}` })],
      [
        sentence('a ControlNet', model, file),
        graph(
          model,
          { 7: node('ControlNetLoader', { control_net_name: name }), 8: load, 9: node('ControlNetApply', control) },
          { positive: ['9', 0] },
        ),
      ],
      [
        sentence('an IP-Adapter', model, file, adapterOf(file)),
        graph(
          model,
          {
            7: node('IPAdapterModelLoader', { ipadapter_file: `${adapterOf(file)}.safetensors` }),
            8: load,
            9: node('IPAdapterAdvanced', { ...adapter, ...how }),
            10: node('CLIPVisionLoader', { clip_name: 'clip_tiny.safetensors' }),
          },
          { model: ['9', 0] },
        ),
      ],
      [
        sentence(`a hypernetwork \\(width ${width[file]}\\)`, model, file),
        graph(model, { 7: node('HypernetworkLoader', hypernetwork) }, { model: ['7', 0] }),
      ],
      [
        new RegExp(
          `^The conditioning is for ${said[file][0]} \\(width ${width[file]}\\), and ${model}\\.safetensors is `,
        ),
        graph(model, other, { clip: ['7', 1] }),
      ],
      [sentence('an autoencoder \\(VAE\\)', model, file), graph(model, other, { vae: ['7', 2] })],
      [
        sentence('an autoencoder \\(VAE\\)', model, file),
        graph(model, { 7: node('VAELoader', { vae_name: name }) }, { vae: ['7', 0] }),
      ],
    ];
    for (const [message, prompt] of tried(model, rows)) assert.match(await workflowError(prompt), message);
  }
});
