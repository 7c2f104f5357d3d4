/** Image degradation against training/degrade (ldm image_degradation, OpenCV 4.11, scipy 1.17). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { convolveKernel, sharpen } from '../../src/training/degrade/blur.ts';
import { degradeBsrgan } from '../../src/training/degrade/bsrgan.ts';
import {
  bicubicDegradation,
  classicalDegradation,
  dpsrDegradation,
  srmdDegradation,
} from '../../src/training/degrade/degradation-models.ts';
import {
  analyticX4Kernel,
  anisotropicKernel,
  gaussianKernel,
  type Kernel,
  laplacianKernel,
  shiftedKernel,
} from '../../src/training/degrade/kernel.ts';
import { rgbToLuma, rgbToYcbcr } from '../../src/training/degrade/luma.ts';
import { addGaussianNoise } from '../../src/training/degrade/noise.ts';
import {
  clip,
  type FloatImage,
  floatImage,
  modcrop,
  subsample,
  toByteImage,
  toFloatImage,
} from '../../src/training/degrade/picture.ts';
import { resizeMatlab } from '../../src/training/degrade/resize-matlab.ts';
import { type OpencvFilter, resizeOpencv } from '../../src/training/degrade/resize-opencv.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const recorded = readTensors(reference('training/degrade/operators.safetensors'));
const input = (name: string): FloatImage => {
  const { shape, data } = pick(recorded, `in.${name}`);
  return floatImage(
    shape[1] as number,
    shape[0] as number,
    shape[2] as number,
    Float32Array.from(data as Float32Array),
  );
};
const image = input('image');
const bytes = input('image_u8');
const gaussian7 = gaussianKernel(7, 0.6);
const sizes: Readonly<Record<string, readonly [number, number]>> = {
  '0.5': [16, 12],
  '0.37': [11, 8],
  '1.6': [51, 38],
};

const kernels: Readonly<Record<string, Kernel>> = {
  gaussian_7: gaussian7,
  gaussian_15: gaussianKernel(15, 2.3),
  gaussian_25: gaussianKernel(25, 1.1),
  gaussian_even_6: gaussianKernel(6, 0.5),
  anisotropic_0: anisotropicKernel(7, 0.7, 1.5, 0.4),
  anisotropic_1: anisotropicKernel(12, 2.1, 1.9, 0.25),
  laplacian: laplacianKernel(0.2),
  shifted_sf2: shiftedKernel(gaussianKernel(25, 0.8), 2),
  shifted_sf4: shiftedKernel(gaussianKernel(25, 1.6), 4),
  analytic_x4: analyticX4Kernel(gaussianKernel(5, 1)),
};

const pictures: Readonly<Record<string, () => FloatImage>> = {
  'blur.mirror_gaussian': () => convolveKernel(image, gaussian7, 'mirror'),
  'blur.mirror_anisotropic_odd': () => convolveKernel(image, anisotropicKernel(7, 0.7, 1.5, 0.4), 'mirror'),
  'blur.mirror_anisotropic_even': () => convolveKernel(image, anisotropicKernel(12, 2.1, 1.9, 0.25), 'mirror'),
  'blur.wrap_gaussian': () => convolveKernel(image, gaussian7, 'wrap'),
  'resize.matlab_bicubic_0.500': () => resizeMatlab(image, 0.5),
  'resize.matlab_bicubic_0.250': () => resizeMatlab(image, 0.25),
  'resize.matlab_bicubic_2.000': () => resizeMatlab(image, 2),
  'resize.matlab_bicubic_noaa_0.5': () => resizeMatlab(image, 0.5, false),
  'degrade.bicubic_sf2': () => bicubicDegradation(image, 2),
  'degrade.bicubic_sf3': () => bicubicDegradation(modcrop(image, 3), 3),
  'degrade.srmd_sf2': () => srmdDegradation(image, gaussian7, 2),
  'degrade.dpsr_sf2': () => dpsrDegradation(image, gaussian7, 2),
  'degrade.classical_sf2': () => classicalDegradation(image, gaussian7, 2),
  'degrade.shifted_blur_subsample_sf2': () =>
    subsample(convolveKernel(image, kernels['shifted_sf2'] as Kernel, 'mirror'), 2),
  'degrade.shifted_blur_subsample_sf4': () =>
    subsample(convolveKernel(image, kernels['shifted_sf4'] as Kernel, 'mirror'), 4),
  modcrop_4: () => modcrop(image, 4),
  sharpen: () => sharpen(image, { weight: 0.5, radius: 9, threshold: 10 }),
  'convert.rgb2ycbcr': () => rgbToYcbcr(image),
  'convert.rgb2ycbcr_y': () => rgbToLuma(image),
  'noise.gaussian_color': () =>
    addGaussianNoise(image, pick(recorded, 'in.noise.gaussian_color.z').data as Float32Array, 5 / 255),
  'noise.gaussian_gray': () =>
    addGaussianNoise(image, pick(recorded, 'in.noise.gaussian_gray.z').data as Float32Array, 5 / 255),
};

/** index.json of training: the tolerances of degrade/operators. */
function toleranceOf(name: string): number {
  if (name.startsWith('kernel.shifted')) return 1e-9;
  if (name.startsWith('kernel.')) return 1e-12;
  if (name.startsWith('resize.cv2_u8')) return 1;
  if (name.startsWith('resize.')) return 5e-6;
  if (name === 'convert.single2uint' || name.startsWith('modcrop')) return 0;
  return name.startsWith('convert.') ? 1e-5 : 2e-6;
}

function compute(name: string): Tensor {
  const [group = '', rest = ''] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)];
  if (group === 'kernel') {
    const kernel = kernels[rest] as Kernel;
    return tensor('float64', [kernel.size, kernel.size], kernel.weights);
  }
  if (name === 'convert.single2uint') return tensor('uint8', [24, 32, 3], toByteImage(input('image_unrounded')).data);
  const opencv = /^resize\.cv2_(u8_)?([a-z0-9]+?)(?:_([0-9.]+))?$/.exec(name);
  if (opencv) {
    const [, isBytes, filter, factor = '0.5'] = opencv;
    const [width, height] = sizes[factor] as readonly [number, number];
    const got = resizeOpencv(isBytes ? bytes : image, width, height, filter as OpencvFilter);
    return isBytes
      ? tensor('uint8', [height, width, 3], Uint8ClampedArray.from(got.data) as unknown as Uint8Array)
      : tensor('float32', [height, width, 3], clip(got).data); // recorded after np.clip(…, 0, 1), which always follows
  }
  const got = (pictures[name] as () => FloatImage)();
  return tensor(
    'float32',
    got.channels === 1 ? [got.height, got.width] : [got.height, got.width, got.channels],
    got.data,
  );
}

for (const [key, want] of recorded) {
  if (!key.startsWith('out.')) continue;
  const name = key.slice(4);
  test(`degrade/operators ${name}`, () => {
    compareTensor(
      {
        part: 'training/degrade',
        case: 'operators',
        output: name,
        reference: 'ldm image_degradation, OpenCV, scipy',
        tolerance: toleranceOf(name),
      },
      compute(name),
      want,
    );
  });
}

test('BSRGAN: sizes by the factor, repeatable from a seed, different from another, both variants', async () => {
  const source = createImage(
    48,
    64,
    3,
    Uint8Array.from({ length: 48 * 64 * 3 }, (_, i) => (i * 7 + Math.floor(i / 200) * 31) % 256),
  );
  for (const variant of ['bsrgan-light', 'bsrgan'] as const) {
    for (const factor of [1, 2, 4]) {
      const run = (seed: number) =>
        degradeBsrgan(source, { variant, factor, generator: new TorchGenerator(seed), codec: nodeImageCodec });
      const [first, again, other] = [await run(1), await run(1), await run(2)];
      assert.deepEqual([first.width, first.height], [48 / factor, 64 / factor]);
      assert.deepEqual(first, again);
      assert.notDeepEqual(first.data, other.data);
    }
    for (let seed = 10; seed < 30; seed++)
      await degradeBsrgan(source, { variant, factor: 4, generator: new TorchGenerator(seed), codec: nodeImageCodec });
  }
  await assert.rejects(
    degradeBsrgan(createImage(6, 20, 3), { generator: new TorchGenerator(1), codec: nodeImageCodec }),
    { code: 'invalid-argument' },
  );
});

test('bytes to samples and back are the identity', () => {
  const all = createImage(
    16,
    16,
    3,
    Uint8Array.from({ length: 768 }, (_, i) => i % 256),
  );
  assert.deepEqual(toByteImage(toFloatImage(all)), all);
});
