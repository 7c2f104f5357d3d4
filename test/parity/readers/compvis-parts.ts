/** The single parts of a tiny model of CompVis: tokens, text encoder, UNet, encoder, decoder. */

import { join } from 'node:path';
import { initImageTensor } from '../../../src/image/init-image.ts';
import { loadModel } from '../../../src/model/load-model-node.ts';
import { concatenate } from '../../../src/tensor/arithmetic.ts';
import { takeBatch } from '../../../src/tensor/batches.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { expectDType, type Tensor } from '../../../src/tensor/tensor.ts';
import { readPng } from '../../image/read-png.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, settingsOf } from '../reader.ts';

const components = /\.components\.safetensors$/;

export const reader: Reader = {
  set: 'diffusion',
  reads: (row, part) =>
    part === 'pipelines' && /LatentDiffusion parts/.test(originalOf(row)) && components.test(String(row['file'])),
  compare: collecting(async (recorded, compare) => {
    const path = join(recorded.setFolder, String(recorded.row['file']));
    const want = readTensors(path);
    const tolerance: Recorded = recorded.row['tolerance'];
    const { prompts } = settingsOf(recorded);
    await using model = await loadModel(path.replace(components, '.ckpt'), { engine: parityEngine() });
    const tensor = (output: string, got: Tensor): void =>
      compare.tensor(output, got, pick(want, output), tolerance[output] ?? 0);
    tensor('tokens', model.tokenize(prompts).ids);
    const context = await model.encodePrompts(prompts);
    tensor('context', context);
    const x = expectDType(pick(want, 'unet.x'), 'float32');
    const timesteps = toFloat32(pick(want, 'unet.t'));
    const own = takeBatch(context, 0, x.shape[0] as number);
    tensor('unet.eps', await model.predict({ x, timesteps, context: own }));
    const picture = await readPng(join(recorded.setFolder, 'pipelines/images/init.png'));
    const { mean, std } = await model.encodeImage(initImageTensor(picture));
    tensor('encode.moments', concatenate([mean, logVariance(std)], 1));
    tensor('decode.image', await model.decodeLatent(expectDType(pick(want, 'decode.z'), 'float32')));
  }),
};

/** Log variances of standard deviations. */
export function logVariance(std: Tensor<'float32'> | undefined): Tensor<'float32'> {
  if (!std) throw new Error('the autoencoder has no posterior');
  return { ...std, data: std.data.map((value) => 2 * Math.log(value)) };
}
