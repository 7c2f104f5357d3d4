/** `sd sample`: sets that are stopped, divided and packed in any way end with the same pictures; models of pixels, of classes and of nothing. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { admClassifier, admFlags, admUNet } from '../../src/config/adm-flags.ts';
import { parseAdmFlags } from '../../src/config/adm-published.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { npzChunks } from '../../src/formats/npz-stream.ts';
import { writeNpy } from '../../src/formats/npy.ts';
import { openNpz, writeNpz } from '../../src/formats/npz.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { pictureSeed } from '../../src/random/picture-seed.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { bytesOf, tensor, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomTensors, randomWeights, vq, yaml } from '../random-models.ts';
import { sd, startSd } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'sd-sample-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (...parts: string[]): string => join(folder, ...parts);

const flagText =
  '--image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,1 --attention_resolutions 8 --num_heads 1 --class_cond True --num_classes 3 --learn_sigma True --diffusion_steps 100 --use_fp16 True';

async function writeTensors(path: string, tensors: ReadonlyMap<string, Tensor>): Promise<void> {
  const source = memoryWeights(tensors);
  await writeFileAtomic(
    path,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );
}

before(async () => {
  const flags = admFlags(parseAdmFlags(flagText));
  await writeTensors(at('adm.safetensors'), new Map(randomWeights(admUNet(flags), '', new TorchGenerator(1))));
});

const adm = (out: string, ...more: string[]): string[] => [
  ...['sample', '--model', at('adm.safetensors'), '--flags', flagText, '--steps', '2', '--threads', '1', '--quiet'],
  ...['--outdir', at(out), ...more],
];

const picturesIn = (out: string): Map<string, Buffer> =>
  new Map(
    readdirSync(at(out, 'img'))
      .sort()
      .map((name) => [name, readFileSync(at(out, 'img', name))]),
  );

async function archive(path: string) {
  const npz = await openNpz(memoryBytes(new Uint8Array(readFileSync(path)), path));
  return {
    pictures: await npz.read('arr_0'),
    classes: npz.names.includes('arr_1') ? await npz.read('arr_1') : undefined,
  };
}

test('seeds of pictures are distinct, and others for another set', () => {
  const seeds = new Set(Array.from({ length: 50_000 }, (_, i) => pictureSeed(3, i)));
  assert.equal(seeds.size, 50_000);
  assert.ok(!seeds.has(pictureSeed(4, 0)));
  assert.notEqual(pictureSeed(2 ** 40, 0), pictureSeed(0, 0));
});

test('whole, in two shards, and killed and gone on: the same pictures, byte for byte', async () => {
  const whole = await sd(adm('whole', '--count', '10', '--batch', '2'));
  assert.equal(whole.code, 0, whole.err);
  const want = picturesIn('whole');
  assert.equal(want.size, 10);
  assert.equal(new Set([...want.values()].map((bytes) => bytes.toString('base64'))).size, 10);

  for (const shard of ['2/2', '1/2'])
    assert.equal((await sd(adm('shards', '--count', '10', '--batch', '2', '--shard', shard))).code, 0);
  assert.deepEqual(picturesIn('shards'), want);

  for (let kill = 0; kill < 3; kill++) {
    const child = startSd(adm('killed', '--count', '10', '--batch', '2'), folder);
    const done = new Promise((resolve) => child.on('exit', resolve));
    const wanted = Math.min(9, 2 * kill + 1);
    const poll = setInterval(() => {
      if (existsSync(at('killed', 'img')) && readdirSync(at('killed', 'img')).length >= wanted) child.kill('SIGKILL');
    }, 5);
    await done;
    clearInterval(poll);
  }
  assert.equal((await sd(adm('killed', '--count', '10', '--batch', '2'))).code, 0);
  assert.deepEqual(picturesIn('killed'), want);

  const other = await sd(adm('whole', '--count', '10', '--batch', '2', '--seed', '1'));
  assert.match(other.err, /holds samples of other settings \(seed\)/);
});

test('npz as guided-diffusion writes it: pictures and classes, from shards too; the seed decides, not the size of batches', async () => {
  const first = await sd(adm('packed', '--count', '6', '--batch', '4', '--npz', '--shard', '1/2'));
  assert.equal(first.out.trim(), at('packed', 'blocks'));
  const second = await sd(adm('packed', '--count', '6', '--batch', '4', '--npz', '--shard', '2/2'));
  const path = at('packed', 'samples_6x16x16x3.npz');
  assert.equal(second.out.trim(), path, second.err);
  const { pictures, classes } = await archive(path);
  assert.deepEqual(
    [pictures.dtype, pictures.shape, classes?.dtype, classes?.shape],
    ['uint8', [6, 16, 16, 3], 'int64', [6]],
  );
  assert.ok([...(classes?.data ?? [])].every((label) => label >= 0n && label < 3n));

  await sd(adm('packed-singly', '--count', '6', '--batch', '1', '--npz'));
  const singly = await archive(at('packed-singly', 'samples_6x16x16x3.npz'));
  assert.deepEqual(singly.classes, classes);
  const far = singly.pictures.data.filter((value, i) => Math.abs(Number(value) - Number(pictures.data[i])) > 1);
  assert.equal(far.length, 0);

  await sd(adm('of-class', '--count', '3', '--batch', '3', '--npz', '--class', '2,0', '--ddim', '--eta', '0.5'));
  const chosen = await archive(at('of-class', 'samples_3x16x16x3.npz'));
  assert.deepEqual([...(chosen.classes?.data ?? [])], [2n, 0n, 2n]);
  const wrong = await sd(adm('wrong', '--count', '1', '--class', '3'));
  assert.match(wrong.err, /has the classes 0 to 2, not 3/);
});

test('a classifier guides: other pictures with it, and flags are asked for where no name tells them', async () => {
  const flagsText =
    '--image_size 64 --num_channels 32 --num_res_blocks 1 --attention_resolutions 8 --num_heads 1 --learn_sigma True --num_classes 3 --diffusion_steps 50 --classifier_width 64 --classifier_depth 1 --classifier_attention_resolutions 8';
  const flags = admFlags(parseAdmFlags(flagsText));
  const generator = new TorchGenerator(2);
  await writeTensors(at('plain.safetensors'), new Map(randomWeights(admUNet(flags), '', generator)));
  await writeTensors(at('classifier.safetensors'), new Map(randomWeights(admClassifier(flags), '', generator)));
  const run = (out: string, ...more: string[]) =>
    sd([
      ...['sample', '--model', at('plain.safetensors'), '--flags', flagsText, '--steps', '2', '--count', '1'],
      ...['--threads', '1', '--outdir', at(out), ...more],
    ]);
  assert.equal((await run('unguided')).code, 0);
  const guided = await run(
    'guided',
    '--classifier',
    at('classifier.safetensors'),
    '--classifier-scale',
    '50',
    '--class',
    '1',
  );
  assert.equal(guided.code, 0, guided.err);
  assert.notDeepEqual(picturesIn('guided'), picturesIn('unguided'));
  const unknown = await sd(['sample', '--model', at('plain.safetensors'), '--count', '1']);
  assert.match(unknown.err, /whose flags are not in the file\. Give --flags/);
});

test('an upsampler enlarges the pictures of an npz, with their classes', async () => {
  const flagsText =
    '--large_size 64 --small_size 16 --num_channels 32 --num_res_blocks 1 --attention_resolutions 8 --num_heads 1 --learn_sigma True --class_cond True --num_classes 3 --diffusion_steps 50';
  await writeTensors(
    at('up.safetensors'),
    new Map(randomWeights(admUNet(admFlags(parseAdmFlags(flagsText))), '', new TorchGenerator(2))),
  );
  const small = tensor(
    'uint8',
    [2, 16, 16, 3],
    Uint8Array.from({ length: 2 * 768 }, (_, i) => (i * 7) % 256),
  );
  const labels: Tensor = { dtype: 'int64', shape: [2], data: BigInt64Array.of(2n, 1n) };
  writeFileSync(at('small.npz'), writeNpz({ arr_0: small, arr_1: labels }));
  const run = await sd([
    ...['sample', '--model', at('up.safetensors'), '--flags', flagsText, '--steps', '1', '--base', at('small.npz')],
    ...['--threads', '1', '--npz', '--outdir', at('enlarged')],
  ]);
  assert.equal(run.code, 0, run.err);
  assert.deepEqual((await archive(at('enlarged', 'samples_2x64x64x3.npz'))).pictures.shape, [2, 64, 64, 3]);

  const refused = async (base: string, content: Uint8Array): Promise<string> => {
    writeFileSync(at(base), content);
    const { code, err } = await sd([
      ...['sample', '--model', at('up.safetensors'), '--flags', flagsText, '--steps', '1', '--base', at(base)],
      ...['--threads', '1', '--npz', '--outdir', at('refused')],
    ]);
    assert.notEqual(code, 0);
    assert.equal(existsSync(at('refused')), false, 'a refused archive leaves no folder');
    return err;
  };
  const classes = (values: bigint[]): Tensor => ({
    dtype: 'int64',
    shape: [values.length],
    data: BigInt64Array.from(values),
  });
  assert.match(
    await refused('short.npz', writeNpz({ arr_0: small, arr_1: classes([2n]) })),
    /arr_1 is int64 \[1\], and there are 2 pictures\. Give one class for each\. \[shape-mismatch\]/,
  );
  assert.match(
    await refused('wrong.npz', writeNpz({ arr_0: small, arr_1: classes([2n, 3n]) })),
    /arr_1 has the class 3, and the model has the classes 0 to 2\. \[invalid-argument\]/,
  );
  assert.match(
    await refused('text.npz', new TextEncoder().encode('no archive')),
    /is not an \.npz: .*\[file-unsupported\]/,
  );
  assert.match(await refused('one.npz', writeNpy(small)), /is one array \(\.npy\).*numpy\.savez/);
});

test('bits per dimension of a folder, with the classes of its names', async () => {
  const folderOf = at('named');
  mkdirSync(folderOf);
  for (const [i, name] of ['cat_1', 'dog_1', 'emu_1'].entries()) {
    const image = createImage(20, 16, 3);
    image.data.fill(80 * i + 20);
    writeFileSync(join(folderOf, `${name}.png`), await nodeImageCodec.encode(image, { format: 'png' }));
  }
  const run = (...more: string[]) =>
    sd([
      ...['eval', 'bits', '--model', at('adm.safetensors'), '--flags', flagText, '--real', folderOf],
      ...['--steps', '4', '--threads', '1', '--json', ...more],
    ]);
  const whole = await run();
  assert.equal(whole.code, 0, whole.err);
  const { bits_per_dimension: bits, prior, pictures } = JSON.parse(whole.out);
  assert.ok(pictures === 3 && bits > prior && prior > 0 && Number.isFinite(bits), whole.out);
  assert.equal((await run()).out, whole.out);
  assert.equal(JSON.parse((await run('--count', '2')).out).pictures, 2);
});

test('latent models: unconditional by the averaged weights, and of classes', async () => {
  const document = yaml({
    params: 'channels: 3, use_ema: true',
    unet: 'in_channels: 3, out_channels: 3, num_heads: 4',
    stage: vq,
    condition: '__is_unconditional__',
  });
  writeFileSync(at('latent.yaml'), document);
  const weights = randomTensors(document);
  const averaged = [...weights].flatMap(([name, value]) =>
    name.startsWith('model.diffusion_model.')
      ? [
          [
            `model_ema.${name.slice(6).replaceAll('.', '')}`,
            { ...value, data: (value.data as Float32Array).map((x) => x * 0.9) },
          ] as const,
        ]
      : [],
  );
  await writeTensors(at('latent.safetensors'), new Map<string, Tensor>([...weights, ...averaged]));
  const run = (out: string, ...more: string[]) =>
    sd([
      ...['sample', '--model', at('latent.safetensors'), '--count', '3', '--batch', '2', '--steps', '2'],
      ...['--threads', '1', '--outdir', at(out), ...more],
    ]);
  assert.equal((await run('average')).code, 0);
  assert.equal((await run('last', '--no-ema')).code, 0);
  assert.equal(picturesIn('average').size, 3);
  assert.notDeepEqual(picturesIn('average'), picturesIn('last'));
});

test('archives written in pieces are read back', async () => {
  const data = tensor('int64', [3], BigInt64Array.of(1n, 2n, 3n));
  const parts: Uint8Array[] = [];
  for await (const chunk of npzChunks([
    {
      name: 'a',
      dtype: 'int64',
      shape: [3],
      bytes: async function* () {
        yield bytesOf(data);
      },
    },
    { name: 'b', dtype: 'uint8', shape: [0, 4], bytes: async function* () {} },
  ]))
    parts.push(chunk);
  const npz = await openNpz(memoryBytes(new Uint8Array(Buffer.concat(parts)), 'a.npz'));
  assert.deepEqual([...(await npz.read('a')).data], [1n, 2n, 3n]);
  assert.deepEqual((await npz.read('b')).shape, [0, 4]);
});
