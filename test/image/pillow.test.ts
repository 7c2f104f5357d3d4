/** Resizing of RGBA and of boxes, the order of the passes, and CLIP preprocessing: against fixtures/image, made by pillow-golden.py. */

import { test } from 'node:test';
import { clipImageTensor } from '../../src/image/clip-image.ts';
import { type Channels, createImage, type Image } from '../../src/image/image.ts';
import { type ResizeFilter, resize } from '../../src/image/resize.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const tensors = readTensors(reference('image/pillow.safetensors'));

function imageOf({ shape: [height = 0, width = 0, channels = 0], data }: Tensor): Image {
  return createImage(width, height, channels as Channels, data as Uint8Array);
}

for (const name of [...tensors.keys()].filter((key) => key.endsWith('.in')).map((key) => key.slice(0, -3))) {
  const input = imageOf(pick(tensors, `${name}.in`));
  const want = pick(tensors, `${name}.out`);
  test(`${name}`, () => {
    if (name.startsWith('clip.')) {
      const got = clipImageTensor([input], { size: 24 });
      compareTensor(
        {
          part: 'image',
          case: name,
          output: 'pixel_values',
          reference: 'transformers 5.23.0 CLIPImageProcessorPil',
          tolerance: 0,
        },
        got,
        want,
      );
      return;
    }
    const [height = 0, width = 0] = want.shape;
    const edges = tensors.get(`${name}.box`)?.data as Float64Array | undefined;
    const [left = 0, top = 0, right = input.width, bottom = input.height] = edges ?? [];
    const got = resize(input, width, height, name.split('.').at(-1) as ResizeFilter, { left, top, right, bottom });
    compareTensor(
      { part: 'image', case: name, output: 'pixels', reference: 'Pillow 13.0.0 Image.resize', tolerance: 0 },
      tensor('uint8', want.shape, got.data),
      want,
    );
  });
}
