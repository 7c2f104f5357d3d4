/** Image degradation: kernels, blurs, resizes, degradations, conversions and noise (ldm image_degradation, OpenCV 4.11, scipy 1.17). */

import { type FloatImage, floatImage } from '../../../src/image/float-image.ts';
import type { OpencvFilter } from '../../../src/image/opencv/resize-bytes.ts';
import { resizeOpencv } from '../../../src/image/opencv/resize-floats.ts';
import { type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { convolveKernel, sharpen } from '../../../src/training/degrade/blur.ts';
import {
  bicubicDegradation,
  classicalDegradation,
  dpsrDegradation,
  srmdDegradation,
} from '../../../src/training/degrade/degradation-models.ts';
import {
  analyticX4Kernel,
  anisotropicKernel,
  gaussianKernel,
  type Kernel,
  laplacianKernel,
  shiftedKernel,
} from '../../../src/training/degrade/kernel.ts';
import { rgbToLuma, rgbToYcbcr } from '../../../src/training/degrade/luma.ts';
import { addGaussianNoise } from '../../../src/training/degrade/noise.ts';
import { clip, modcrop, subsample, toByteImage } from '../../../src/training/degrade/picture.ts';
import { resizeMatlab } from '../../../src/training/degrade/resize-matlab.ts';
import { pick, type Tensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import type { Reader, Recorded } from '../reader.ts';
import { named, trainingCase } from '../training-case.ts';

export const reader: Reader = {
  set: 'training',
  reads: (row, part) =>
    part === 'degrade' &&
    row['skipped'] === undefined &&
    /^blur kernels, blurs, resizes/.test(String(row['exercises'])),
  compare: collecting((recorded, compare) => {
    const { tensors, settings } = trainingCase(recorded);
    for (const [key, want] of tensors) {
      if (!key.startsWith('out.')) continue;
      const name = key.slice(4);
      compare.tensor(name, compute(name, tensors, settings), want, toleranceOf(name));
    }
  }),
};

function pictureOf(recorded: Tensors, name: string): FloatImage {
  const { shape, data } = pick(recorded, `in.${name}`);
  const [height = 0, width = 0, channels = 0] = shape;
  return floatImage(width, height, channels, Float32Array.from(data as Float32Array));
}

const gaussian7 = gaussianKernel(7, 0.6);
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

const pictures: Readonly<Record<string, (image: FloatImage, recorded: Tensors) => FloatImage>> = {
  'blur.mirror_gaussian': (image) => convolveKernel(image, gaussian7, 'mirror'),
  'blur.mirror_anisotropic_odd': (image) => convolveKernel(image, anisotropicKernel(7, 0.7, 1.5, 0.4), 'mirror'),
  'blur.mirror_anisotropic_even': (image) => convolveKernel(image, anisotropicKernel(12, 2.1, 1.9, 0.25), 'mirror'),
  'blur.wrap_gaussian': (image) => convolveKernel(image, gaussian7, 'wrap'),
  'resize.matlab_bicubic_0.500': (image) => resizeMatlab(image, 0.5),
  'resize.matlab_bicubic_0.250': (image) => resizeMatlab(image, 0.25),
  'resize.matlab_bicubic_2.000': (image) => resizeMatlab(image, 2),
  'resize.matlab_bicubic_noaa_0.5': (image) => resizeMatlab(image, 0.5, false),
  'degrade.bicubic_sf2': (image) => bicubicDegradation(image, 2),
  'degrade.bicubic_sf3': (image) => bicubicDegradation(modcrop(image, 3), 3),
  'degrade.srmd_sf2': (image) => srmdDegradation(image, gaussian7, 2),
  'degrade.dpsr_sf2': (image) => dpsrDegradation(image, gaussian7, 2),
  'degrade.classical_sf2': (image) => classicalDegradation(image, gaussian7, 2),
  'degrade.shifted_blur_subsample_sf2': (image) =>
    subsample(convolveKernel(image, kernels['shifted_sf2'] as Kernel, 'mirror'), 2),
  'degrade.shifted_blur_subsample_sf4': (image) =>
    subsample(convolveKernel(image, kernels['shifted_sf4'] as Kernel, 'mirror'), 4),
  modcrop_4: (image) => modcrop(image, 4),
  sharpen: (image) => sharpen(image, { weight: 0.5, radius: 9, threshold: 10 }),
  'convert.rgb2ycbcr': (image) => rgbToYcbcr(image),
  'convert.rgb2ycbcr_y': (image) => rgbToLuma(image),
  'noise.gaussian_color': (image, recorded) =>
    addGaussianNoise(image, pick(recorded, 'in.noise.gaussian_color.z').data as Float32Array, 5 / 255),
  'noise.gaussian_gray': (image, recorded) =>
    addGaussianNoise(image, pick(recorded, 'in.noise.gaussian_gray.z').data as Float32Array, 5 / 255),
};

/** The row's tolerances, which it states in words. */
function toleranceOf(name: string): number {
  if (name.startsWith('kernel.shifted')) return 1e-9;
  if (name.startsWith('kernel.')) return 1e-12;
  if (name.startsWith('resize.cv2_u8')) return 1;
  if (name.startsWith('resize.')) return 5e-6;
  if (name === 'convert.single2uint' || name.startsWith('modcrop')) return 0;
  return name.startsWith('convert.') ? 1e-5 : 2e-6;
}

function compute(name: string, recorded: Tensors, settings: Recorded): Tensor {
  const input = (own: string): FloatImage => pictureOf(recorded, own);
  const [group = '', rest = ''] = [name.slice(0, name.indexOf('.')), name.slice(name.indexOf('.') + 1)];
  if (group === 'kernel') {
    const kernel = kernels[rest] as Kernel;
    return tensor('float64', [kernel.size, kernel.size], kernel.weights);
  }
  if (name === 'convert.single2uint')
    return tensor('uint8', pick(recorded, `out.${name}`).shape, toByteImage(input('image_unrounded')).data);
  const opencv = /^resize\.cv2_(u8_)?([a-z0-9]+?)(?:_([0-9.]+))?$/.exec(name);
  if (opencv) {
    const [, isBytes, filter] = opencv;
    const [height = 0, width = 0] = settings.results[name].shape;
    const got = resizeOpencv(input(isBytes ? 'image_u8' : 'image'), width, height, filter as OpencvFilter);
    return isBytes
      ? tensor('uint8', [height, width, 3], Uint8ClampedArray.from(got.data) as unknown as Uint8Array)
      : tensor('float32', [height, width, 3], clip(got).data); // recorded after np.clip(…, 0, 1), which always follows
  }
  const got = named(pictures, name)(input('image'), recorded);
  return tensor(
    'float32',
    got.channels === 1 ? [got.height, got.width] : [got.height, got.width, got.channels],
    got.data,
  );
}
