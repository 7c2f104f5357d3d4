/** Losses and training of autoencoders with a perceptual loss and a discriminator, against LDM's: training/gan. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  type AutoencoderTrainingConfig,
  autoencoderTraining,
  discriminatorOf,
} from '../../src/config/autoencoder-training.ts';
import { lpipsConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { slice, sum } from '../../src/graph/functions.ts';
import { gradients } from '../../src/graph/gradients.ts';
import type { Sym } from '../../src/graph/trace.ts';
import { lpips } from '../../src/models/lpips.ts';
import { elementCount, float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { adoptWeight, discriminatorLosses, weightedHingeLoss } from '../../src/training/objective/adversarial.ts';
import { createAutoencoderTraining } from '../../src/training/autoencoder/trainee.ts';
import {
  type AutoencoderObjective,
  bufferPrefix,
  traceAutoencoderLoss,
  traceDiscriminatorLoss,
} from '../../src/training/autoencoder/loss.ts';
import { codebookUsage } from '../../src/training/objective/codebook-usage.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { type Inputs, runGraph, traceLike } from '../graph/run-graph.ts';
import { skipUnless } from '../reference.ts';
import { compareCase, norm, readCase, type RecordedCase, readWeights } from './recorded-case.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const of = (values: Readonly<Record<string, Tensor>>, name: string): Tensor =>
  values[name] ?? assert.fail(`no ${name}; there are ${Object.keys(values).join(', ')}`);
const lpipsConfig = lpipsConfigSchema.parse({ kind: 'lpips', chns: [8, 16, 32, 64, 64] });

test('gan/lpips', { skip: skipUnless('training/gan/lpips.safetensors') }, async () => {
  const recorded = readCase('gan/lpips');
  const inputs = { a: recorded.input('a'), b: recorded.input('b') };
  const graph = traceLike(inputs, (given, p) => {
    const { distance, features } = lpips(p, lpipsConfig, given['a'] as Sym, given['b'] as Sym);
    const first = Object.fromEntries(
      features.map(([a], level) => [`feature${level}.first4channels`, slice(a, 1, 0, 4)]),
    );
    return { value: distance, loss: sum(distance), ...first };
  });
  const got = await runGraph(engine, gradients(graph, 'loss', ['b']), inputs, readWeights('gan/lpips'));
  compareCase(recorded, (name) => got[name]);
});

test('gan/d_losses', { skip: skipUnless('training/gan/d_losses.safetensors') }, async () => {
  const recorded = readCase('gan/d_losses');
  const logits = { real: recorded.input('logits_real'), fake: recorded.input('logits_fake') };
  const losses: Readonly<Record<string, (real: Sym, fake: Sym, weights: Sym) => Sym>> = {
    ...discriminatorLosses,
    hinge_exemplar: weightedHingeLoss,
  };
  const made: Record<string, Tensor> = {};
  for (const [name, loss] of Object.entries(losses)) {
    const inputs = { ...logits, weights: recorded.input('exemplar_weights') };
    const graph = gradients(
      traceLike(inputs, (given) => ({
        loss: loss(given['real'] as Sym, given['fake'] as Sym, given['weights'] as Sym),
      })),
      'loss',
      ['real', 'fake'],
    );
    for (const [output, value] of Object.entries(await runGraph(engine, graph, inputs)))
      made[`${name}.${output.replace('grad.', 'grad_')}`] = value;
  }
  const indices = { indices: recorded.input('indices') };
  const usage = await runGraph(
    engine,
    traceLike(indices, (given) => ({ ...codebookUsage(given['indices'] as Sym, 12) })),
    indices,
  );
  compareCase(
    recorded,
    (name) => made[name] ?? { perplexity: of(usage, 'perplexity'), cluster_use: of(usage, 'used') }[name],
  );
});

test('before disc_start the adversarial losses weigh nothing', () => {
  assert.deepEqual(
    [0, 1, 2].map((step) => adoptWeight(0.8, step, 2)),
    [0, 0, 0.8],
  );
});

/** The configuration of a recorded case as LDM's YAML would have it. */
function configOf({ settings }: RecordedCase, isKl: boolean): AutoencoderTrainingConfig {
  const { autoencoder, layers, ndf, lr: _, optimizer: __, steps: ___, ...rest } = settings;
  const loss = { ...rest, disc_num_layers: layers, ...(isKl ? {} : { disc_ndf: ndf }) };
  const target = isKl
    ? 'ldm.modules.losses.LPIPSWithDiscriminator'
    : 'ldm.modules.losses.vqperceptual.VQLPIPSWithDiscriminator';
  const params = { ...(autoencoder as object), lossconfig: { target, params: loss } };
  const config = autoencoderTraining(
    { model: { target: `ldm.models.autoencoder.${isKl ? 'AutoencoderKL' : 'VQModel'}`, params } },
    'a recorded case',
  );
  // AutoencoderKL's loss has no disc_ndf; the recorded discriminator is narrower than its 64.
  return config.loss.kind === 'multiscale' ? config : { ...config, loss: { ...config.loss, disc_ndf: Number(ndf) } };
}

/** Weights under the names of an LDM checkpoint. */
function weightsOf(name: string, { settings }: RecordedCase, isKl: boolean): Map<string, Tensor> {
  const under = (prefix: string, weights: ReadonlyMap<string, Tensor>) =>
    [...weights].map(([own, value]): [string, Tensor] => [`${prefix}${own}`, value]);
  return new Map([
    ...readWeights(isKl ? 'nets/autoencoder_kl' : 'nets/vq_model'),
    ...under('loss.perceptual_loss.', readWeights('gan/lpips')),
    ...under('loss.discriminator.', readWeights(`gan/${name}.discriminator`)),
    ...(isKl ? [['loss.logvar', float32([], [Number(settings['logvar_init'])])] as const] : []),
  ]);
}

/** Entry `index` of axis 0. */
function entry(value: Tensor, index: number): Tensor {
  const shape = value.shape.slice(1);
  const size = elementCount(shape);
  return tensor(value.dtype, shape, value.data.slice(index * size, (index + 1) * size) as never);
}

const prefix = 'loss.discriminator.';

for (const name of ['kl_hinge', 'kl_vanilla', 'vq_hinge', 'vq_l2_vanilla']) {
  const isKl = name.startsWith('kl');

  test(`gan/${name}: losses and gradients before and after disc_start`, {
    skip: skipUnless(`training/gan/${name}.safetensors`),
  }, async () => {
    const recorded = readCase(`gan/${name}`);
    const config = configOf(recorded, isKl);
    const objective: AutoencoderObjective = { ...config, perceptual: lpipsConfig };
    const { loss } = config;
    assert.ok(loss.kind !== 'multiscale' && discriminatorOf(loss));
    const weights = weightsOf(name, recorded, isKl);
    const image = entry(recorded.input('x'), 0);
    /** Every forward pass draws its own noise. */
    const base = (pass: 0 | 1): Inputs => ({
      image,
      ...(isKl ? { noise: entry(entry(recorded.input('posterior_noise'), 0), pass) } : {}),
    });
    const judged = [...weights.keys()].filter((own) => own.startsWith(prefix) && !/running|num_batches/.test(own));
    const bottleneck = isKl ? 'loss.logvar' : 'quantize.embedding.weight';
    const generator = gradients(traceAutoencoderLoss(objective), 'loss', [
      'decoder.conv_out.weight',
      'encoder.conv_in.weight',
      bottleneck,
    ]);
    const discriminator = gradients(traceDiscriminatorLoss(objective), 'loss', judged);
    const made: Record<string, Tensor> = {};
    // The recorded reconstruction is that of the discriminator's pass.
    made['A.reconstruction'] = of(
      await runGraph(
        engine,
        traceAutoencoderLoss(objective, { reconstruction: true }),
        { ...base(1), disc_factor: float32([], [1]) },
        weights,
      ),
      'reconstruction',
    );
    for (const [when, step] of [
      ['before', 0],
      ['after', loss.disc_start],
    ] as const) {
      const factor = { disc_factor: float32([], [adoptWeight(loss.disc_factor, step, loss.disc_start)]) };
      const ofGenerator = await runGraph(engine, generator, { ...base(0), ...factor }, weights);
      const gen = `A.${when}.gen`;
      for (const [output, value] of Object.entries(ofGenerator))
        made[`${gen}.log.train/${output === 'loss' ? 'total_loss' : output}`] = value;
      made[`${gen}.log.train/disc_factor`] = factor.disc_factor;
      Object.assign(made, {
        [`${gen}.loss`]: of(ofGenerator, 'loss'),
        [`${gen}.grad.last_layer`]: of(ofGenerator, 'grad.decoder.conv_out.weight'),
        [`${gen}.grad.conv_in`]: of(ofGenerator, 'grad.encoder.conv_in.weight'),
      });
      made[`${gen}.grad.${isKl ? 'logvar' : 'codebook'}`] = of(ofGenerator, `grad.${bottleneck}`);
      const ofDiscriminator = await runGraph(engine, discriminator, { ...base(1), ...factor }, weights);
      const disc = `A.${when}.disc`;
      for (const [output, value] of Object.entries(ofDiscriminator))
        made[`${disc}.log.train/${output === 'loss' ? 'disc_loss' : output}`] = value;
      made[`${disc}.loss`] = of(ofDiscriminator, 'loss');
      for (const own of judged) made[`${disc}.grad.${own.slice(prefix.length)}`] = of(ofDiscriminator, `grad.${own}`);
      for (const [output, value] of Object.entries(ofDiscriminator))
        if (output.startsWith(bufferPrefix))
          made[`${disc}.buffer.${output.slice(bufferPrefix.length + prefix.length)}`] = value;
    }
    if (isKl) {
      const graph = traceAutoencoderLoss(objective, { weighted: true });
      const inputs = { ...base(0), weights: recorded.input('weights'), disc_factor: float32([], [loss.disc_factor]) };
      const weighted = await runGraph(engine, graph, inputs, weights);
      Object.assign(made, { 'A.weighted.gen.loss': of(weighted, 'loss'), 'A.weighted.nll': of(weighted, 'nll_loss') });
    }
    compareCase({ ...recorded, name: `${recorded.name} (A)` }, (output) => made[output], {
      skip: (output) => output.startsWith('B.'),
    });
  });

  test(`gan/${name}: four steps of both optimisers`, {
    skip: skipUnless(`training/gan/${name}.safetensors`),
  }, async () => {
    const recorded = readCase(`gan/${name}`);
    const config = configOf(recorded, isKl);
    const weights = memoryWeights(weightsOf(name, recorded, isKl));
    await using training = await createAutoencoderTraining({
      engine,
      objective: { ...config, perceptual: lpipsConfig },
      weights,
    });
    const made: Record<string, Tensor> = {};
    for (let step = 0; step < 4; step++) {
      const noise = isKl ? entry(recorded.input('posterior_noise'), step) : undefined;
      const batch = {
        image: entry(recorded.input('x'), step) as Tensor<'float32'>,
        ...(noise ? { noise: [entry(noise, 0), entry(noise, 1)] as [Tensor<'float32'>, Tensor<'float32'>] } : {}),
      };
      const { metrics } = await training.update([batch], { learningRate: Number(recorded.settings['lr']) });
      for (const [output, metric] of Object.entries({ gen_loss: 'loss', disc_loss: 'disc_loss', d_weight: 'd_weight' }))
        made[`B.${output}.${step}`] = float32([], [metrics[metric] ?? Number.NaN]);
    }
    const state = await training.state.read();
    for (const [own, value] of Object.entries(state))
      if (own.startsWith(prefix)) made[`B.disc.${own.slice(prefix.length)}`] = value;
    made['B.last_layer'] = of(state, 'decoder.conv_out.weight');
    const order = recorded.extra['ae_parameter_order'] as readonly string[];
    made['B.ae_param_norms'] = float32(
      [order.length],
      order.map((own) => norm(of(state, own))),
    );
    compareCase({ ...recorded, name: `${recorded.name} (B)` }, (output) => made[output], {
      skip: (output) => output.startsWith('A.'),
    });
  });
}
