/** Upscalers from the command line and as a library: pictures, tiles, and what is refused. The networks' numbers are in test/parity. */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { readUpscaler } from '../../src/models/upscalers/index.ts';
import { openImage } from '../../src/pipelines/image-files-node.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { upscaleBy } from '../../src/upscaling/upscale-image.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { reference } from '../reference.ts';

const compact = reference('control/upscale/compact_x2/weights.pth');
const ramp = createImage(
  20,
  12,
  3,
  Uint8Array.from({ length: 20 * 12 * 3 }, (_, i) => (i * 37) % 256),
);

test('sd upscale doubles a picture, with and without tiles, and --scale rounds down to multiples of 8', async (context) => {
  const folder = temporaryFolder(context);
  const picture = join(folder, 'ramp.png');
  await writeFileAtomic(picture, [await nodeImageCodec.encode(ramp, { format: 'png' })]);
  const sizes: string[] = [];
  for (const more of [[], ['--tile', '8', '--overlap', '2'], ['--scale', '1.3']]) {
    const path = join(folder, `out${sizes.length}.png`);
    const { code, err } = await sd(['upscale', picture, '--model', compact, '-o', path, '--threads', '1', ...more]);
    assert.equal(code, 0, err);
    const { width, height } = await openImage(path);
    sizes.push(`${width}x${height}`);
  }
  assert.deepEqual(sizes, ['40x24', '40x24', '24x8']);
  const [whole, tiled] = await Promise.all(['out0.png', 'out1.png'].map((name) => openImage(join(folder, name))));
  assert.notDeepEqual(whole?.data, tiled?.data, 'tiles that see less of the picture give other pixels');
});

test('a file that is no upscaler is refused by name and nothing is written', async (context) => {
  const folder = temporaryFolder(context);
  const picture = join(folder, 'ramp.png');
  await writeFileAtomic(picture, [await nodeImageCodec.encode(ramp, { format: 'png' })]);
  const other = reference('diffusion/pipelines/tiny.ckpt');
  const { code, err } = await sd([
    'upscale',
    picture,
    '--model',
    other,
    '-o',
    join(folder, 'out.png'),
    '--threads',
    '1',
  ]);
  assert.equal(code, 1);
  assert.match(err, /tiny\.ckpt is .*not an upscaler of a known architecture \(ESRGAN, .*\[model-unknown\]/);
  assert.equal(existsSync(join(folder, 'out.png')), false);
});

test('ESRGAN+ is refused by its name', () => {
  const zeros = (...shape: number[]) => float32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
  const plus = memoryWeights(
    new Map([
      ['model.1.sub.0.RDB1.conv1.0.weight', zeros(4, 8, 3, 3)],
      ['model.1.sub.0.RDB1.conv1x1.weight', zeros(4, 8, 1, 1)],
    ]),
  );
  assert.throws(() => readUpscaler(plus), { code: 'model-unknown', message: /ESRGAN\+ \(conv1x1\) is unsupported/ });
});

test('an impossible size is refused before the network runs', async () => {
  const never = (): Promise<never> => Promise.reject(new Error('the network ran'));
  await assert.rejects(upscaleBy(ramp, 1e6, never), { code: 'too-large' });
  await assert.rejects(upscaleBy(ramp, Number.NaN, never), { code: 'invalid-argument' });
  await assert.rejects(upscaleBy(ramp, 0.1, never), { code: 'invalid-argument' });
});
