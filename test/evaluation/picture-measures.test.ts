/** Pictures that cannot be compared, and LPIPS by a given feature function. PSNR and SSIM are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { lpips } from '../../src/evaluation/perceptual-distance.ts';
import { psnr } from '../../src/evaluation/psnr.ts';
import { ssim } from '../../src/evaluation/ssim.ts';
import { createImage } from '../../src/image/image.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { tensor, type Tensor } from '../../src/tensor/tensor.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

test('pictures that cannot be compared are refused', () => {
  assert.throws(() => psnr(createImage(4, 4, 3), createImage(4, 5, 3)), { code: 'shape-mismatch' });
  assert.throws(() => psnr(createImage(4, 4, 3), createImage(4, 4, 3), { border: 2 }), { code: 'invalid-argument' });
  assert.throws(() => ssim(createImage(8, 8, 1), createImage(8, 8, 1)), { code: 'invalid-argument' });
  assert.equal(ssim(createImage(11, 11, 1), createImage(11, 11, 1)), 1);
});

const weights = readTensors(reference('training/gan/lpips.weights.safetensors'));
const numbers = (name: string): Float32Array => toFloat32(pick(weights, name)).data;

/** A 3x3 convolution with padding and ReLU, plainly. */
function convolve(x: Tensor<'float32'>, name: string): Tensor<'float32'> {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const weight = numbers(`${name}.weight`);
  const bias = numbers(`${name}.bias`);
  const out = new Float32Array(n * bias.length * h * w);
  for (let b = 0, to = 0; b < n; b++) {
    for (let o = 0; o < bias.length; o++) {
      for (let y = 0; y < h; y++) {
        for (let at = 0; at < w; at++) {
          let sum = bias[o] as number;
          for (let i = 0; i < c; i++) {
            for (let dy = -1; dy <= 1; dy++) {
              if (y + dy < 0 || y + dy >= h) continue;
              for (let dx = -1; dx <= 1; dx++) {
                if (at + dx < 0 || at + dx >= w) continue;
                sum +=
                  (weight[((o * c + i) * 3 + dy + 1) * 3 + dx + 1] as number) *
                  (x.data[((b * c + i) * h + y + dy) * w + at + dx] as number);
              }
            }
          }
          out[to++] = Math.max(sum, 0);
        }
      }
    }
  }
  return tensor('float32', [n, bias.length, h, w], out);
}

function halve(x: Tensor<'float32'>): Tensor<'float32'> {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const out = new Float32Array((n * c * h * w) / 4);
  for (let plane = 0, to = 0; plane < n * c; plane++) {
    for (let y = 0; y < h; y += 2) {
      for (let at = 0; at < w; at += 2, to++) {
        const from = (plane * h + y) * w + at;
        out[to] = Math.max(
          x.data[from] as number,
          x.data[from + 1] as number,
          x.data[from + w] as number,
          x.data[from + w + 1] as number,
        );
      }
    }
  }
  return tensor('float32', [n, c, h / 2, w / 2], out);
}

/** VGG16 up to relu5_3, of the widths in the file. */
async function vgg(images: Tensor<'float32'>): Promise<Tensor<'float32'>[]> {
  const shift = numbers('scaling_layer.shift');
  const scale = numbers('scaling_layer.scale');
  const area = (images.shape[2] as number) * (images.shape[3] as number);
  let x = tensor(
    'float32',
    images.shape,
    images.data.map(
      (value, i) => (value - (shift[Math.floor(i / area) % 3] as number)) / (scale[Math.floor(i / area) % 3] as number),
    ),
  );
  const out: Tensor<'float32'>[] = [];
  for (const [slice, layers] of [
    [0, 2],
    [5, 7],
    [10, 12, 14],
    [17, 19, 21],
    [24, 26, 28],
  ].entries()) {
    if (slice > 0) x = halve(x);
    for (const layer of layers) x = convolve(x, `net.slice${slice + 1}.${layer}`);
    out.push(x);
  }
  return out;
}

test('LPIPS by a given feature function: the recorded value', async () => {
  const recorded = readTensors(reference('training/gan/lpips.safetensors'));
  const { tolerance } = JSON.parse(readFileSync(reference('training/gan/lpips.json'), 'utf8'));
  const linear = [0, 1, 2, 3, 4].map((i) => pick(weights, `lin${i}.model.1.weight`));
  const input = (name: string) => toFloat32(pick(recorded, `in.${name}`));
  const got = await lpips(input('a'), input('b'), vgg, linear);
  compareTensor(
    {
      part: 'training/gan',
      case: 'lpips',
      output: 'out.value (evaluation)',
      reference: 'taming LPIPS',
      tolerance: tolerance['out.value'],
    },
    tensor('float32', [2, 1, 1, 1], Float32Array.from(got)),
    pick(recorded, 'out.value'),
  );
});
