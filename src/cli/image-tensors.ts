/** Command-line options that replace an image or accompany it: latents of another run, a depth map. */

import type { GivenTensors } from '../generation/inputs.ts';
import { text } from './options.ts';

/** Of models that enlarge a picture, where another one is to start from. */
export const smallFlag = {
  small: text(
    ['--small'],
    'FILE',
    "DeepFloyd IF's later stages: the smaller picture, where the image is the one to start from",
  ),
};

export const imageTensorFlags = {
  ...smallFlag,
  fromLatents: text(
    ['--from-latents'],
    'FILE',
    'start from latents instead of an image: the tensor latents of a file of --save-latents, or the only one',
  ),
  depthMap: text(
    ['--depth-map'],
    'FILE',
    "depth models: the image's depth as a grey picture, near is white (default: what the model's depth network sees)",
  ),
};

/** The tensors that the options name. Throws as `readLatents` and `openImage`. */
export async function readImageTensors({
  fromLatents,
  depthMap,
  small,
}: {
  readonly fromLatents?: string | undefined;
  readonly depthMap?: string | undefined;
  readonly small?: string | undefined;
}): Promise<Pick<GivenTensors, 'latent' | 'depth' | 'small'>> {
  return {
    ...(fromLatents === undefined
      ? {}
      : { latent: await (await import('./latents-file.ts')).readLatents(fromLatents) }),
    ...(depthMap === undefined ? {} : { depth: await readDepth(depthMap) }),
    ...(small === undefined ? {} : { small: await readPixels(small) }),
  };
}

async function readPixels(path: string): Promise<GivenTensors['small']> {
  const { openImage } = await import('../pipelines/image-files-node.ts');
  const { toRgb } = await import('../image/image.ts');
  const { imagesToTensor } = await import('../image/image-tensor.ts');
  return imagesToTensor([toRgb(await openImage(path))]);
}

async function readDepth(path: string): Promise<GivenTensors['depth']> {
  const { openImage } = await import('../pipelines/image-files-node.ts');
  const { toGrey } = await import('../image/image.ts');
  const { float32 } = await import('../tensor/tensor.ts');
  const { width, height, data } = toGrey(await openImage(path));
  return float32([1, 1, height, width], Float32Array.from(data));
}
