/** LoRAs and textual inversions on the command line. */

import { ldmUNet } from '../../src/config/network-config.ts';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readEmbedding, readLora } from '../../src/cli/adapter-options.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { writeLora } from '../../src/adapters/lora/write-lora.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { reference } from '../reference.ts';
import { writeStyleLora } from '../style-lora.ts';
import { sd, temporaryFolder } from './run-cli.ts';

test('how adapters are written', () => {
  const unscaled = { scale: undefined, textScale: undefined };
  assert.deepEqual(readLora('a.safetensors'), { path: 'a.safetensors', ...unscaled });
  assert.deepEqual(readLora('a.safetensors:0.8'), { ...unscaled, path: 'a.safetensors', scale: 0.8 });
  assert.deepEqual(readLora('C:\\loras\\a.safetensors:-1:.5'), {
    path: 'C:\\loras\\a.safetensors',
    scale: -1,
    textScale: 0.5,
  });
  assert.deepEqual(readEmbedding('C:\\a.pt'), { path: 'C:\\a.pt', token: undefined });
  assert.deepEqual(readEmbedding('a.pt:<my-style>'), { path: 'a.pt', token: '<my-style>' });
});

const tiny = reference('diffusion/pipelines/tiny.ckpt');
const fast = [
  '--ckpt',
  tiny,
  '--threads',
  '1',
  '--H',
  '64',
  '--W',
  '64',
  '--steps',
  '2',
  '--no-watermark',
  '--no-safety',
  '--json',
];
const pixels = async (path: string): Promise<Uint8Array> =>
  (await nodeImageCodec.decode(new Uint8Array(readFileSync(path)))).data;

test('--lora and --embedding change the picture, are recorded, and replay asks for them', async (context) => {
  const folder = temporaryFolder(context);
  const checkpoint = await openCheckpointAt(tiny);
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
  const lora = join(folder, 'style.safetensors');
  await writeFileAtomic(lora, writeLora(factors, { layout: 'kohya', unet: ldmUNet(checkpoint.config.unet_config) }));
  const width = ldmUNet(checkpoint.config.unet_config).context_dim ?? 0;
  const embedding = join(folder, 'mine.safetensors');
  const vectors = generator.randn([2, width]);
  await writeFileAtomic(
    embedding,
    writeSafetensors([{ name: 'emb_params', dtype: 'float32', shape: vectors.shape }], () => vectors),
  );
  await checkpoint.close();

  const make = async (file: string, prompt: string, words: readonly string[]): Promise<Uint8Array> => {
    const { code, err } = await sd(['txt2img', prompt, ...fast, ...words, '--output', join(folder, file)]);
    assert.equal(code, 0, err);
    return pixels(join(folder, file));
  };
  const plain = await make('plain.png', 'a mine', []);
  const adapted = await make('adapted.png', 'a mine', [
    '--lora',
    `${lora}:0.5`,
    '--lora',
    `${lora}:0.25:1`,
    '--embedding',
    embedding,
  ]);
  assert.notDeepEqual(adapted, plain);
  assert.deepEqual(await make('none.png', 'a mine', ['--lora', `${lora}:0`]), plain);
  assert.deepEqual(await make('unused.png', 'a mine', ['--embedding', `${embedding}:<other>`]), plain);

  const without = await sd([
    'replay',
    join(folder, 'adapted.png'),
    '--model',
    tiny,
    '--threads',
    '1',
    '--no-safety',
    '--skip_save',
  ]);
  assert.equal(without.code, 2);
  assert.match(without.err, /lora:style:0\.5, lora:style:0\.25:1, embedding:mine/);
  const again = await sd([
    'replay',
    join(folder, 'adapted.png'),
    '--model',
    tiny,
    '--threads',
    '1',
    '--no-safety',
    '--skip_save',
    '--lora',
    `${lora}:0.5`,
    '--lora',
    `${lora}:0.25:1`,
    '--embedding',
    embedding,
  ]);
  assert.equal(again.code, 0, again.err);
});

test('a file that is no LoRA, and one of another model, are named', async () => {
  const none = await sd([
    'txt2img',
    'x',
    ...fast,
    '--lora',
    reference('networks/textual_inversion/learned_embeds.safetensors'),
  ]);
  assert.equal(none.code, 1);
  assert.match(none.out, /file-unsupported.*learned_embeds/);
  const other = await sd([
    'txt2img',
    'x',
    ...fast,
    '--skip_save',
    '--lora',
    reference('training/adapt/lora_final.kohya.safetensors'),
  ]);
  assert.match(other.out, /weights-mismatch|does not fit/);
});

test("A1111's syntax: LoRAs of prompts are looked for in --lora-dir, and a prompt's text is without them", async (context) => {
  const folder = temporaryFolder(context);
  await writeStyleLora(join(folder, 'style.safetensors'));
  const run = [
    '--steps',
    '1',
    '--prompt-syntax',
    'a1111',
    '--no-watermark',
    '--threads',
    '1',
    '--W',
    '64',
    '--H',
    '64',
  ];
  const make = async (name: string, prompt: string, words: readonly string[] = []) => {
    const output = join(folder, name);
    const { code, err } = await sd(['txt2img', prompt, ...run, ...words, '--output', output]);
    assert.equal(code, 0, err);
    return { pixels: await pixels(output), err };
  };
  const plain = await make('plain.png', 'face');
  const lost = await make('lost.png', 'face<lora:nosuch:1>');
  assert.deepEqual(lost.pixels, plain.pixels);
  assert.match(lost.err, /Lora not found: nosuch/);
  const named = await make('named.png', 'face<lora:style:0.5>', ['--lora-dir', folder]);
  const given = await make('given.png', 'face', ['--lora', `${join(folder, 'style.safetensors')}:0.5`]);
  assert.deepEqual(named.pixels, given.pixels);
  assert.notDeepEqual(named.pixels, plain.pixels);
});
