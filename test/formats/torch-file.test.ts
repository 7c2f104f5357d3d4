/** Files of torch.save and folders of diffusers as people have them: embeddings, checkpoints, components, shards, variants. */

import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { convert } from '../../src/tensor/convert.ts';
import { bytesOf, fromBytes } from '../../src/tensor/tensor.ts';
import { type ByteSource, memoryBytes } from '../../src/files/byte-source.ts';
import { blobBytes } from '../../src/files/byte-source-web.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { compareTensor } from '../parity.ts';
import { findReference, reference, skipUnless } from '../reference.ts';

const temporary = mkdtempSync(join(tmpdir(), 'sd-torch-'));
after(() => rmSync(temporary, { recursive: true }));

test('the stored tensors of a checkpoint can be used in place', async () => {
  const path = reference('files/ckpt/views.ckpt');
  const bytes = readFileSync(path);
  const source = await openWeightsAt(path);
  const located = new Map<string, boolean>();
  for (const [name, { dtype, shape }] of source.entries) {
    const at = source.locate?.(name);
    located.set(name, at !== undefined);
    if (at)
      assert.deepEqual(
        bytesOf(fromBytes(dtype, shape, new Uint8Array(bytes.subarray(at.offset, at.offset + at.length)))),
        bytesOf(await source.read(name)),
      );
  }
  await source.close();
  assert.ok(located.get('base') && located.get('row_slice') && located.get('flat_offset'));
  assert.ok(!located.get('transposed') && !located.get('expanded') && !located.get('col_slice'));
});

test('bytes that are not there as they are cannot be used in place', async () => {
  for (const file of ['byteorder-big.ckpt', 'zip-deflated.ckpt']) {
    const source = await openWeightsAt(reference(`files/ckpt/${file}`));
    assert.equal(source.locate?.('w'), undefined);
    await source.close();
  }
});

test('opening reads headers, and reading a tensor reads its bytes', {
  skip: skipUnless('diffusion/pipelines/tiny.ckpt'),
}, async () => {
  const path = findReference('diffusion/pipelines/tiny.ckpt') as string;
  const { source: bytes, read } = counted(memoryBytes(new Uint8Array(readFileSync(path)), path));
  const source = await openWeights(bytes);
  assert.equal(source.metadata?.get('global_step'), 470000);
  assert.ok(read() < 400_000, `${read()} of ${bytes.size} bytes were read to open it`);
  const before = read();
  const value = await source.read('betas');
  assert.equal(read() - before, value.data.byteLength);
});

test('a Blob opens as a file does', async () => {
  const path = reference('files/ckpt/protocol2.ckpt');
  const fromBlob = await openWeights(blobBytes(new File([readFileSync(path)], 'dropped.ckpt')));
  const fromPath = await openWeightsAt(path);
  for (const name of fromPath.entries.keys()) assert.deepEqual(await fromBlob.read(name), await fromPath.read(name));
  assert.equal(fromBlob.locate?.('b'), undefined);
  await fromPath.close();
});

test('a source is closed where opening fails', async () => {
  let closed = false;
  const close = async () => {
    closed = true;
  };
  const source = { ...memoryBytes(new Uint8Array(100)), close };
  await assert.rejects(openWeights(source), { code: 'file-corrupt' });
  assert.ok(closed);
});

const unetFile = 'files/diffusers/tiny-sd/unet/diffusion_pytorch_model.fp16.safetensors';

test('components of a diffusers folder: whole, fp16, shards and .bin agree', {
  skip: skipUnless(unetFile),
}, async () => {
  const folder = join(dirname(findReference(unetFile) as string), '../..');
  const whole = await openWeightsAt(join(folder, 'tiny-sd/unet'));
  const half = await openWeightsAt(join(folder, 'tiny-sd/unet'), { variant: 'fp16' });
  const shards = await openWeightsAt(join(folder, 'tiny-sd-unet-sharded'));
  assert.deepEqual([...half.entries.keys()].sort(), [...whole.entries.keys()].sort());
  assert.deepEqual([...shards.entries.keys()].sort(), [...whole.entries.keys()].sort());
  for (const name of ['conv_in.weight', 'conv_out.bias']) {
    const rounded = convert(await whole.read(name), 'float16');
    for (const [variant, source] of [
      ['fp16', half],
      ['shards', shards],
    ] as const) {
      compareTensor(
        { part: 'files/diffusers', case: `unet ${variant}`, output: name, tolerance: 0 },
        await source.read(name),
        rounded,
      );
    }
    assert.equal(shards.locate?.(name)?.length, bytesOf(rounded).length);
  }
  const bin = await openWeightsAt(join(folder, 'vae-diffusion_pytorch_model.bin'));
  const vae = await openWeightsAt(join(folder, 'tiny-sd/vae'));
  for (const name of vae.entries.keys()) {
    compareTensor(
      { part: 'files/diffusers', case: 'vae .bin', output: name, tolerance: 0 },
      await bin.read(name),
      await vae.read(name),
    );
  }
  for (const source of [whole, half, shards, bin, vae]) await source.close();
  await assert.rejects(openWeightsAt(join(folder, 'tiny-sd/unet'), { variant: 'ema' }), {
    code: 'file-not-found',
    message: /ema/,
  });
  await assert.rejects(openWeightsAt(join(folder, 'tiny-sd/scheduler')), { code: 'file-not-found' });
});

test('which file of a folder is taken', async () => {
  const plain = reference('files/safetensors/plain.safetensors');
  const make = (name: string, files: readonly string[]): string => {
    mkdirSync(join(temporary, name));
    for (const file of files) copyFileSync(plain, join(temporary, name, file));
    return join(temporary, name);
  };
  const chosen = async (folder: string, variant?: string): Promise<string> => {
    const source = await openWeightsAt(folder, variant === undefined ? {} : { variant });
    await source.close();
    return source.label.slice(folder.length + 1);
  };
  const both = make('both', ['model.bin', 'model.safetensors', 'model.fp16.safetensors']);
  assert.equal(await chosen(both), 'model.safetensors');
  assert.equal(await chosen(both, 'fp16'), 'model.fp16.safetensors');
  assert.equal(
    await chosen(make('half', ['diffusion_pytorch_model.fp16.safetensors', 'diffusion_pytorch_model.fp16.bin'])),
    'diffusion_pytorch_model.fp16.safetensors',
  );
  assert.equal(await chosen(make('only', ['anything.safetensors'])), 'anything.safetensors');
  await assert.rejects(chosen(make('two', ['a.safetensors', 'b.safetensors'])), {
    code: 'file-not-found',
    message: /a\.safetensors, b\.safetensors/,
  });

  const sharded = make('sharded', ['model-00001-of-00001.fp16.safetensors']);
  writeFileSync(
    join(sharded, 'model.safetensors.index.fp16.json'),
    JSON.stringify({
      weight_map: { a: 'model-00001-of-00001.fp16.safetensors', b: 'model-00001-of-00001.fp16.safetensors' },
    }),
  );
  assert.equal(await chosen(sharded, 'fp16'), 'model.safetensors.index.fp16.json');
});

/** Counts the bytes that are read from a source. */
function counted(source: ByteSource): { source: ByteSource; read: () => number } {
  let total = 0;
  return {
    source: {
      ...source,
      async read(offset, length) {
        total += length;
        return source.read(offset, length);
      },
    },
    read: () => total,
  };
}
