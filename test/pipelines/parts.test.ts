/** The single parts of the tiny models, recorded by themselves: text encoder, UNet, encoder, decoder. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { initImageTensor } from '../../src/image/init-image.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { toFloat32 } from '../../src/tensor/convert.ts';
import { concatenate } from '../../src/tensor/arithmetic.ts';
import { takeBatch } from '../../src/tensor/batches.ts';
import { expectDType, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { compareTensor } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

interface Components {
  readonly id: string;
  readonly settings: { readonly prompts: readonly string[] };
  readonly tolerance: Readonly<Record<string, number>>;
}

const index = JSON.parse(readFileSync(reference('diffusion/index.json'), 'utf8')) as {
  cases: (Components & { part: string })[];
};
const float = (value: Tensor): Tensor<'float32'> => expectDType(value, 'float32');

/** Log variances of standard deviations. */
function logarithms(std: Tensor<'float32'> | undefined): Tensor<'float32'> {
  if (!std) throw new Error('the autoencoder has no posterior');
  return tensor(
    'float32',
    std.shape,
    std.data.map((value) => 2 * Math.log(value)),
  );
}

for (const { id, settings, tolerance } of index.cases.filter(
  ({ part, id }) => part === 'pipelines' && id.startsWith('components/'),
)) {
  test(id, async () => {
    const name = id.replace('components/', '');
    const want = readTensors(reference(`diffusion/pipelines/${name}.components.safetensors`));
    await using engine = createNodeEngine({ threads: 1 });
    await using model = await loadModel(reference(`diffusion/pipelines/${name}.ckpt`), { engine });
    const compare = (output: string, got: Tensor): void =>
      compareTensor(
        {
          part: 'diffusion/pipelines',
          case: id,
          output,
          reference: 'CompVis LatentDiffusion',
          tolerance: tolerance[output] ?? 0,
        },
        got,
        pick(want, output),
      );

    compareTensor(
      { part: 'diffusion/pipelines', case: id, output: 'tokens', tolerance: 0 },
      model.tokenize(settings.prompts).ids,
      pick(want, 'tokens'),
    );
    const context = await model.encodePrompts(settings.prompts);
    compare('context', context);
    const timesteps = toFloat32(pick(want, 'unet.t'));
    compare(
      'unet.eps',
      await model.predict({ x: float(pick(want, 'unet.x')), timesteps, context: takeBatch(context, 0, 2) }),
    );
    const image = initImageTensor(
      await nodeImageCodec.decode(readFileSync(reference('diffusion/pipelines/images/init.png'))),
    );
    const { mean, std } = await model.encodeImage(image);
    const moments = pick(want, 'encode.moments');
    compareTensor(
      { part: 'diffusion/pipelines', case: id, output: 'encode.moments', tolerance: tolerance['encode.moments'] ?? 0 },
      concatenate([mean, logarithms(std)], 1),
      moments,
    );
    compare('decode.image', await model.decodeLatent(float(pick(want, 'decode.z'))));
  });
}

/** "1e-5 relative to std", says the record. */
function relativeTolerance(want: Tensor): number {
  const { data } = float(want);
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return 1e-5 * Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
}

test('diffusers folder: single parts', { skip: skipUnless('files/diffusers/parts.safetensors') }, async () => {
  const want = readTensors(reference('files/diffusers/parts.safetensors'));
  await using engine = createNodeEngine({ threads: 1 });
  const folder = dirname(reference('files/diffusers/tiny-sd/model_index.json'));
  const compare = (output: string, got: Tensor): void => {
    const recorded = pick(want, output);
    compareTensor(
      {
        part: 'files/diffusers',
        case: 'parts',
        output,
        reference: 'diffusers 0.42.1',
        tolerance: relativeTolerance(recorded),
      },
      got,
      recorded,
    );
  };
  const x = float(pick(want, 'unet.x'));
  const timesteps = toFloat32(pick(want, 'unet.timesteps'));
  const context = float(pick(want, 'unet.context'));
  await using model = await loadModel(folder, { engine });
  const { last_hidden_state } = await model.networks.run(
    { network: 'cond_stage', outputs: ['last_hidden_state'] },
    { input_ids: pick(want, 'text.ids') },
  );
  compare('text.last_hidden_state', last_hidden_state as Tensor);
  compare('unet.out', await model.predict({ x, timesteps, context }));
  const { mean, std } = await model.encodeImage(float(pick(want, 'vae.image')));
  compare('vae.moments', concatenate([mean, logarithms(std)], 1));
  await using half = await loadModel(folder, { engine, variant: 'fp16' });
  compare('unet.out_fp16_weights', await half.predict({ x, timesteps, context }));
});

test('pictures that the decoder cannot make are refused before they are sampled', async () => {
  await using engine = createNodeEngine();
  await using model = await loadModel(undefined, { engine });
  const start = textToImage(model, { prompt: 'x', width: 8192, height: 8192 });
  await assert.rejects(start.next(), { code: 'too-large' });
});
