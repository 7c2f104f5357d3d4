/** Command-line options that replace an image or accompany it: latents of another run, a depth map. */

import type { GivenTensors } from '../generation/inputs.ts';
import { text } from './options.ts';

export const imageTensorFlags = {
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
}: {
  readonly fromLatents?: string | undefined;
  readonly depthMap?: string | undefined;
}): Promise<Pick<GivenTensors, 'latent' | 'depth'>> {
  return {
    ...(fromLatents === undefined
      ? {}
      : { latent: await (await import('./latents-file.ts')).readLatents(fromLatents) }),
    ...(depthMap === undefined ? {} : { depth: await readDepth(depthMap) }),
  };
}

async function readDepth(path: string): Promise<GivenTensors['depth']> {
  const { openImage } = await import('../pipelines/image-files-node.ts');
  const { toGrey } = await import('../image/image.ts');
  const { float32 } = await import('../tensor/tensor.ts');
  const { width, height, data } = toGrey(await openImage(path));
  return float32([1, 1, height, width], Float32Array.from(data));
}
