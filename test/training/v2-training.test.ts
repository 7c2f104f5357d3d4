/** Training with Stable Diffusion 2's condition and objective: OpenCLIP's text before its last layer, padded with 0; the UNet predicts v. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../src/adapters/lora/with-lora.ts';
import { loraTensors } from '../../src/adapters/lora/write-lora.ts';
import { ldmUNet } from '../../src/config/network-config.ts';
import { scheduleOf } from '../../src/diffusion/model-schedule.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage } from '../../src/image/image.ts';
import { Model } from '../../src/model/model.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { createClipTokenizer } from '../../src/tokenizer/clip-tokenizer.ts';
import { createLoraTrainee, type LoraTrainingOptions } from '../../src/training/adapt/lora.ts';
import type { TrainingItem } from '../../src/training/data/sample.ts';
import type { Trainee } from '../../src/training/trainee.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomCheckpoint } from '../model/random-model.ts';
import { smallText } from '../networks.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const text = smallText({ hidden_act: 'gelu', pad_token_id: 0, output_norm: true });
const unet = { use_linear_in_transformer: true };
const checkpoint = randomCheckpoint(text, 16, { unet, config: { parameterization: 'v' } });
const tokenizer = createClipTokenizer({ pad: 'zero' });
const base = { engine, checkpoint, tokenizer };

const picture = (i: number): TrainingItem => {
  const image = createImage(16, 16, 3);
  for (const [at, value] of new TorchGenerator(i).rand([image.data.length], 0, 255).data.entries())
    image.data[at] = value;
  return { name: `${i}`, caption: 'a fox', metadata: {}, image };
};
const items = [picture(1), picture(2)];

async function lossOf(trainee: Trainee<Record<string, Tensor>>): Promise<number> {
  const { metrics } = await trainee.update([await trainee.prepare(items, 5)], { learningRate: 0, step: 0 });
  return metrics['loss'] as number;
}

const least: Pick<LoraTrainingOptions, 'unet'> = { unet: { rank: 1, targets: (name) => name === 'out.2.weight' } };
const few: Pick<LoraTrainingOptions, 'unet' | 'text'> = {
  unet: { rank: 2, targets: (name) => /^middle_block\.1\..*(?:attn2\.to_v|proj_in)\.weight$/.test(name) },
  text: { rank: 2 },
};

async function modelOf(parts = checkpoint): Promise<Model> {
  const tokenizers = new Map([['cond_stage', tokenizer]]);
  return new Model({ engine, checkpoint: parts, tokenizers, ownsCheckpoint: false });
}

test('the condition in training is the one of sampling: the state before the last layer, captions padded with 0', async () => {
  await using trainee = await createLoraTrainee({ ...base, ...least });
  const { context } = await trainee.prepare(items, 1);
  await using model = await modelOf();
  const wanted = await model.encode({ texts: ['a fox', 'a fox'] });
  assert.deepEqual(context, wanted['context']);
});

test('the loss is the mean square of the prediction less v = √ᾱ · noise - √(1 - ᾱ) · x0', async () => {
  await using trainee = await createLoraTrainee({ ...base, ...least });
  const batch = await trainee.prepare(items, 5);
  const [x0, noise] = [batch['x0'], batch['noise']] as unknown as readonly Tensor<'float32'>[];
  assert.ok(x0 && noise);
  const steps = Array.from(batch['t']?.data ?? [], Number);
  const { alphasCumprod } = scheduleOf(checkpoint.config);
  const each = x0.data.length / steps.length;
  const mix = (signal: (alpha: number) => number, other: (alpha: number) => number): Tensor<'float32'> =>
    float32(
      x0.shape,
      x0.data.map((value, i) => {
        const alpha = alphasCumprod[steps[Math.floor(i / each)] as number] as number;
        return signal(alpha) * value + other(alpha) * (noise.data[i] as number);
      }),
    );
  const noised = mix(Math.sqrt, (alpha) => Math.sqrt(1 - alpha));
  const wanted = mix((alpha) => -Math.sqrt(1 - alpha), Math.sqrt);
  await using model = await modelOf();
  const inputs = { x: noised, timesteps: float32([steps.length], steps), context: batch['context'] as Tensor };
  const { out } = await model.networks.run({ network: 'unet', outputs: ['out'] }, inputs);
  const squares = Array.from(out?.data as Float32Array, (value, i) => (value - (wanted.data[i] as number)) ** 2);
  const mean = squares.reduce((sum, value) => sum + value, 0) / squares.length;
  assert.ok(Math.abs((await lossOf(trainee)) - mean) < 1e-5 * mean);
});

test('a LoRA of the text encoder and the UNet, as kohya and diffusers write it, gives the loss that it had in training', async () => {
  await using trainee = await createLoraTrainee({ ...base, ...few });
  for (let step = 0; step < 2; step++)
    await trainee.update([await trainee.prepare(items, step)], { learningRate: 1e-2, step });
  const inTraining = await lossOf(trainee);
  const factors = await trainee.factors();
  assert.ok(
    factors.every(({ up }) => up.data.some((value) => value !== 0)),
    'every factor has a gradient',
  );
  await using plain = await createLoraTrainee({ ...base, ...least });
  assert.ok(Math.abs((await lossOf(plain)) - inTraining) > 1e-4, 'the LoRA matters');
  for (const layout of ['kohya', 'diffusers'] as const) {
    const file = loraTensors(factors, { layout, unet: ldmUNet(checkpoint.config.unet_config), text });
    // The last layer is behind the state that is used.
    assert.ok(![...file.keys()].some((key) => /layers[._]2[._]/.test(key)));
    const merged = checkpointWithLora(checkpoint, [{ lora: openLora(memoryWeights(file)) }]);
    await using again = await createLoraTrainee({ ...base, checkpoint: merged, ...least });
    assert.ok(Math.abs((await lossOf(again)) - inTraining) < 1e-5 * inTraining, layout);
  }
});
