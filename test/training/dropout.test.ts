/** Dropout in training: its share, its gradients at a fixed mask, resumed runs, and evaluation without it. */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { wholeModel } from '../../src/config/whole-model.ts';
import { modelSection } from '../../src/config/ldm-config.ts';
import { parseYaml } from '../../src/config/yaml.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { DropoutSite } from '../../src/graph/trace.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.ts';
import { conditioningOf } from '../../src/training/latent/conditioning.ts';
import { traceLatentDiffusionLoss } from '../../src/training/latent/loss.ts';
import { dropoutMasks } from '../../src/training/objective/dropout-masks.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { resultOf } from '../pipelines/result.ts';
import { randomWeights } from '../random-models.ts';
import { autoencoderYaml, eventsOf, stoppedAfter, trainingRuns } from './training-runs.ts';

const runs = await trainingRuns();

const pixels = (network: string): string => `
model:
  base_learning_rate: 1.0e-3
  target: ldm.models.diffusion.ddpm.DDPM
  params: {timesteps: 20, linear_start: 0.001, linear_end: 0.2, image_size: 8, channels: 3, use_ema: false, unet_config: ${network}}
data: {params: {batch_size: 2, train: {params: {data_root: ${runs.pictures}, size: 8}}}}
lightning: {trainer: {max_steps: 4}, modelcheckpoint: {params: {every_n_train_steps: 2}}, callbacks: {image_logger: {params: {batch_frequency: 0}}}}
training: {scale_lr: false, log_every: 1}
`;
const ldm = (rate: number): string =>
  pixels(
    `{target: ldm.modules.diffusionmodules.openaimodel.UNetModel, params: {image_size: 8, in_channels: 3, out_channels: 3, model_channels: 32, num_res_blocks: 1, attention_resolutions: [], channel_mult: [1, 1], num_heads: 2, dropout: ${rate}}}`,
  );
const ddpm = (rate: number): string =>
  pixels(
    `{target: ldm.modules.diffusionmodules.model.Model, params: {ch: 32, out_ch: 3, ch_mult: [1, 1], num_res_blocks: 1, attn_resolutions: [], in_channels: 3, resolution: 8, dropout: ${rate}}}`,
  );

test('a mask has zeros at the rate, the others scaled up, and the same again from the same seed', () => {
  const site: DropoutSite = { name: 'dropout.a', shape: [4, 5000], rate: 0.3 };
  const draw = (seed: number): Tensor<'float32'> => {
    const made = dropoutMasks([site], new TorchGenerator(seed))['dropout.a'];
    assert.ok(made);
    return made;
  };
  const { data } = draw(1);
  const zeros = data.filter((value) => value === 0).length;
  assert.ok(Math.abs(zeros / data.length - 0.3) < 0.01, `${zeros} of ${data.length}`);
  assert.ok(data.every((value) => value === 0 || value === Math.fround(1 / 0.7)));
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
  assert.ok(
    dropoutMasks([{ ...site, rate: 1 }], new TorchGenerator(1))['dropout.a']?.data.every((value) => value === 0),
  );
});

for (const [name, yaml] of [
  ["LDM's UNet", ldm],
  ["DDPM's UNet", ddpm],
] as const)
  test(`${name}: gradients at a fixed mask are those of finite differences, and differ from those without`, async () => {
    const document = parseYaml(yaml(0.4), 'test.yaml');
    const config = wholeModel(modelSection(document, 'test'), 'test');
    const size = { batch: 2, height: 8, width: 8 };
    const sites: DropoutSite[] = [];
    const objective = { config, conditioning: conditioningOf({ config }), variants: {}, size };
    const graph = traceLatentDiffusionLoss(objective, (site) => sites.push(site));
    assert.equal(sites.length, 8, sites.map((site) => site.name).join());
    const generator = new TorchGenerator(3);
    const weights = new Map(randomWeights(config.unet_config, 'model.diffusion_model.', generator));
    const names = [...weights.keys()].filter((one) => /(in_layers\.2|conv1|out\.2|conv_out)\.weight$/.test(one));
    const chosen = [names[0], names.at(-1)] as [string, string];
    const inputs = {
      x0: generator.randn([2, 3, 8, 8]),
      noise: generator.randn([2, 3, 8, 8]),
      t: int64([2], [3, 15]),
    };
    const masks = dropoutMasks(sites, generator);
    const program = await runs.engine.compile(gradients(graph, 'loss', chosen), memoryWeights(weights), {
      parameters: { inputs: new Set(chosen) },
    });
    const lossAt = async (more: Readonly<Record<string, Tensor>>) => {
      const given = Object.fromEntries(chosen.map((one) => [one, weights.get(one) as Tensor]));
      return program.run({ ...inputs, ...masks, ...given, ...more });
    };
    const made = await lossAt({});
    for (const one of chosen) {
      const value = weights.get(one) as Tensor<'float32'>;
      const gradient = made[`grad.${one}`] as Tensor<'float32'>;
      // Along the gradient the loss grows by its square.
      const square = gradient.data.reduce((sum, each) => sum + each * each, 0);
      const step = 2e-3 / Math.sqrt(square);
      const moved = async (sign: number): Promise<number> => {
        const data = value.data.map((each, i) => each + sign * step * (gradient.data[i] as number));
        return Number((await lossAt({ [one]: float32(value.shape, data) }))['loss']?.data[0]);
      };
      const slope = ((await moved(1)) - (await moved(-1))) / (2 * step);
      assert.ok(Math.abs(slope - square) < 0.02 * square, `${one}: ${slope} against ${square}`);
    }
    await program.dispose();
    const plain = traceLatentDiffusionLoss(objective);
    assert.ok(plain.inputs.every((input) => !input.name.startsWith('dropout.')));
    const without = await runs.engine.compile(plain, memoryWeights(weights));
    const loss = Number((await without.run(inputs))['loss']?.data[0]);
    assert.ok(Math.abs(loss - Number(made['loss']?.data[0])) > 1e-3);
    await without.dispose();
  });

test('runs with dropout resume to the same bits, and are not those without: pixels, autoencoder', async () => {
  const withRate = [
    [ldm(0.2), [], 'pixels'],
    [autoencoderYaml(runs.pictures), ['model.params.ddconfig.dropout=0.2'], 'stage'],
  ] as const;
  for (const [yaml, overrides, name] of withRate) {
    const short = ['lightning.trainer.max_steps=3', 'lightning.callbacks.image_logger.params.batch_frequency=0'];
    const rate = [...overrides, ...short];
    await eventsOf(runs.options(yaml, name, rate));
    await stoppedAfter(1, runs.options(yaml, `${name}-parts`, rate));
    await eventsOf(runs.options(yaml, `${name}-parts`, rate));
    assert.ok(runs.file(name, 'model.safetensors').equals(runs.file(`${name}-parts`, 'model.safetensors')), name);
    if (name === 'pixels') {
      await using model = await loadModel(join(runs.folder, name, 'model.safetensors'), { engine: runs.engine });
      const { images } = await resultOf(textToImage(model, { steps: 2 }));
      assert.equal(images[0]?.image.width, 8);
    }
    const off = name === 'pixels' ? ldm(0) : yaml;
    await eventsOf(runs.options(off, `${name}-off`, short));
    assert.ok(!runs.file(name, 'model.safetensors').equals(runs.file(`${name}-off`, 'model.safetensors')), name);
  }
});
