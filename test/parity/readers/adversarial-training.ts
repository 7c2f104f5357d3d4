/** Losses and training of autoencoders with a perceptual loss and a discriminator, against LDM's and taming's. */

import {
  type AutoencoderTrainingConfig,
  autoencoderTraining,
  discriminatorOf,
} from '../../../src/config/autoencoder-training.ts';
import { lpipsConfigSchema } from '../../../src/config/network-config.ts';
import { slice, sum } from '../../../src/graph/functions.ts';
import { gradients } from '../../../src/graph/gradients.ts';
import type { Sym } from '../../../src/graph/trace.ts';
import { lpips } from '../../../src/models/lpips.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import {
  type AutoencoderObjective,
  bufferPrefix,
  traceAutoencoderLoss,
  traceDiscriminatorLoss,
} from '../../../src/training/autoencoder/loss.ts';
import { createAutoencoderTraining } from '../../../src/training/autoencoder/trainee.ts';
import { adoptWeight, discriminatorLosses, weightedHingeLoss } from '../../../src/training/objective/adversarial.ts';
import { codebookUsage } from '../../../src/training/objective/codebook-usage.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { type Inputs, runGraph, traceLike } from '../../graph/run-graph.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { IndexRow, Reader, RecordedCase } from '../reader.ts';
import { originalOf } from '../reader.ts';
import { compareOutputs, entryOf, named, norm, type TrainingCase, trainingCase } from '../training-case.ts';

type Compare = (one: TrainingCase, compare: Comparisons, recorded: RecordedCase) => Promise<void>;
/** Kinds by what the row exercises. */
const kinds: readonly (readonly [RegExp, Compare])[] = [
  [/^LPIPS/, compareLpips],
  [/^hinge, vanilla and exemplar-weighted/, compareDiscriminatorLosses],
  [/^A: generator and discriminator losses/, compareAutoencoder],
];
const kindOf = ({ exercises }: IndexRow) => kinds.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'training',
  reads: (row, part) => part === 'gan' && row['skipped'] === undefined && kindOf(row) !== undefined,
  compare: collecting((recorded, compare) => kindOf(recorded.row)?.(trainingCase(recorded), compare, recorded)),
};

/** VGG16 at an eighth of its widths, of which the recorded perceptual losses are. */
const lpipsConfig = lpipsConfigSchema.parse({ kind: 'lpips', chns: [8, 16, 32, 64, 64] });
const prefix = 'loss.discriminator.';

async function compareLpips(one: TrainingCase, compare: Comparisons): Promise<void> {
  const config = lpipsConfigSchema.parse({ kind: 'lpips', chns: one.settings.chns });
  const inputs = { a: one.input('a'), b: one.input('b') };
  const graph = traceLike(inputs, (given, p) => {
    const { distance, features } = lpips(p, config, given['a'] as Sym, given['b'] as Sym);
    const first = Object.fromEntries(
      features.map(([a], level) => [`feature${level}.first4channels`, slice(a, 1, 0, 4)]),
    );
    return { value: distance, loss: sum(distance), ...first };
  });
  const got = await runGraph(
    parityEngine(),
    gradients(graph, 'loss', ['b']),
    inputs,
    one.weights(one.weightsNames[0] ?? ''),
  );
  compareOutputs(one, compare, (name) => got[name]);
}

async function compareDiscriminatorLosses(one: TrainingCase, compare: Comparisons): Promise<void> {
  const logits = { real: one.input('logits_real'), fake: one.input('logits_fake') };
  const losses: Readonly<Record<string, (real: Sym, fake: Sym, weights: Sym) => Sym>> = {
    ...discriminatorLosses,
    hinge_exemplar: weightedHingeLoss,
  };
  const made: Record<string, Tensor> = {};
  for (const [name, loss] of Object.entries(losses)) {
    const inputs = { ...logits, weights: one.input('exemplar_weights') };
    const graph = gradients(
      traceLike(inputs, (given) => ({
        loss: loss(given['real'] as Sym, given['fake'] as Sym, given['weights'] as Sym),
      })),
      'loss',
      ['real', 'fake'],
    );
    for (const [output, value] of Object.entries(await runGraph(parityEngine(), graph, inputs)))
      made[`${name}.${output.replace('grad.', 'grad_')}`] = value;
  }
  const indices = { indices: one.input('indices') };
  const usage = await runGraph(
    parityEngine(),
    traceLike(indices, (given) => ({ ...codebookUsage(given['indices'] as Sym, 12) })),
    indices,
  );
  const ofIndices = { perplexity: named(usage, 'perplexity'), cluster_use: named(usage, 'used') };
  compareOutputs(one, compare, (name) => made[name] ?? ofIndices[name as keyof typeof ofIndices]);
  // Before disc_start the adversarial losses weigh nothing.
  compare.exact('adopt_weight', [adoptWeight(0.8, 0, 2), adoptWeight(0.8, 1, 2), adoptWeight(0.8, 2, 2)], [0, 0, 0.8]);
}

/** The configuration of a recorded case as LDM's YAML would have it. */
function configOf({ settings }: TrainingCase, isKl: boolean): AutoencoderTrainingConfig {
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
function weightsOf({ settings, weights, weightsNames }: TrainingCase, isKl: boolean): Map<string, Tensor> {
  const under = (prefix: string, weights: ReadonlyMap<string, Tensor>) =>
    [...weights].map(([own, value]): [string, Tensor] => [`${prefix}${own}`, value]);
  const [autoencoder = '', perceptual = '', discriminator = ''] = weightsNames;
  return new Map([
    ...weights(autoencoder),
    ...under('loss.perceptual_loss.', weights(perceptual)),
    ...under(prefix, weights(discriminator)),
    ...(isKl ? [['loss.logvar', float32([], [Number(settings['logvar_init'])])] as const] : []),
  ]);
}

/** A: losses and gradients before and after disc_start. B: steps of both optimisers. */
async function compareAutoencoder(one: TrainingCase, compare: Comparisons, { row }: RecordedCase): Promise<void> {
  const isKl = /AutoencoderKL/.test(originalOf(row));
  await compareLosses(one, isKl, compare);
  await compareSteps(one, isKl, compare);
}

async function compareLosses(one: TrainingCase, isKl: boolean, compare: Comparisons): Promise<void> {
  const config = configOf(one, isKl);
  const objective: AutoencoderObjective = { ...config, perceptual: lpipsConfig };
  const { loss } = config;
  if (loss.kind === 'multiscale' || !discriminatorOf(loss)) throw new Error('the case has no discriminator');
  const weights = weightsOf(one, isKl);
  const image = entryOf(one.input('x'), 0);
  /** Every forward pass draws its own noise. */
  const base = (pass: 0 | 1): Inputs => ({
    image,
    ...(isKl ? { noise: entryOf(entryOf(one.input('posterior_noise'), 0), pass) } : {}),
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
  made['A.reconstruction'] = named(
    await runGraph(
      parityEngine(),
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
    const ofGenerator = await runGraph(parityEngine(), generator, { ...base(0), ...factor }, weights);
    const gen = `A.${when}.gen`;
    for (const [output, value] of Object.entries(ofGenerator))
      made[`${gen}.log.train/${output === 'loss' ? 'total_loss' : output}`] = value;
    made[`${gen}.log.train/disc_factor`] = factor.disc_factor;
    Object.assign(made, {
      [`${gen}.loss`]: named(ofGenerator, 'loss'),
      [`${gen}.grad.last_layer`]: named(ofGenerator, 'grad.decoder.conv_out.weight'),
      [`${gen}.grad.conv_in`]: named(ofGenerator, 'grad.encoder.conv_in.weight'),
    });
    made[`${gen}.grad.${isKl ? 'logvar' : 'codebook'}`] = named(ofGenerator, `grad.${bottleneck}`);
    const ofDiscriminator = await runGraph(parityEngine(), discriminator, { ...base(1), ...factor }, weights);
    const disc = `A.${when}.disc`;
    for (const [output, value] of Object.entries(ofDiscriminator))
      made[`${disc}.log.train/${output === 'loss' ? 'disc_loss' : output}`] = value;
    made[`${disc}.loss`] = named(ofDiscriminator, 'loss');
    for (const own of judged) made[`${disc}.grad.${own.slice(prefix.length)}`] = named(ofDiscriminator, `grad.${own}`);
    for (const [output, value] of Object.entries(ofDiscriminator))
      if (output.startsWith(bufferPrefix))
        made[`${disc}.buffer.${output.slice(bufferPrefix.length + prefix.length)}`] = value;
  }
  if (isKl) {
    const graph = traceAutoencoderLoss(objective, { weighted: true });
    const inputs = { ...base(0), weights: one.input('weights'), disc_factor: float32([], [loss.disc_factor]) };
    const weighted = await runGraph(parityEngine(), graph, inputs, weights);
    Object.assign(made, {
      'A.weighted.gen.loss': named(weighted, 'loss'),
      'A.weighted.nll': named(weighted, 'nll_loss'),
    });
  }
  compareOutputs(one, compare, (output) => made[output], { only: (output) => !output.startsWith('B.') });
}

async function compareSteps(one: TrainingCase, isKl: boolean, compare: Comparisons): Promise<void> {
  const config = configOf(one, isKl);
  const weights = memoryWeights(weightsOf(one, isKl));
  await using training = await createAutoencoderTraining({
    engine: parityEngine(),
    objective: { ...config, perceptual: lpipsConfig },
    weights,
  });
  const made: Record<string, Tensor> = {};
  for (let step = 0; step < (one.input('x').shape[0] ?? 0); step++) {
    const noise = isKl ? entryOf(one.input('posterior_noise'), step) : undefined;
    const batch = {
      image: entryOf(one.input('x'), step) as Tensor<'float32'>,
      ...(noise ? { noise: [entryOf(noise, 0), entryOf(noise, 1)] as [Tensor<'float32'>, Tensor<'float32'>] } : {}),
    };
    const { metrics } = await training.update([batch], { learningRate: Number(one.settings.lr) });
    for (const [output, metric] of Object.entries({ gen_loss: 'loss', disc_loss: 'disc_loss', d_weight: 'd_weight' }))
      made[`B.${output}.${step}`] = float32([], [metrics[metric] ?? Number.NaN]);
  }
  const state = await training.state.read();
  for (const [own, value] of Object.entries(state))
    if (own.startsWith(prefix)) made[`B.disc.${own.slice(prefix.length)}`] = value;
  made['B.last_layer'] = named(state, 'decoder.conv_out.weight');
  const order = one.extra.ae_parameter_order as readonly string[];
  made['B.ae_param_norms'] = float32(
    [order.length],
    order.map((own) => norm(named(state, own))),
  );
  compareOutputs(one, compare, (output) => made[output], { only: (output) => !output.startsWith('A.') });
}
