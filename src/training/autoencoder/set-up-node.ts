/** Sets up the training of an autoencoder from a configuration: AutoencoderKL and VQModel with their losses. */

import { autoencoderTraining } from '../../config/autoencoder-training.ts';
import { configError } from '../../config/validate.ts';
import { joined } from '../../weights/view.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { type AutoencoderBatch, createAutoencoderTraining } from './trainee.ts';
import { autoencoderWeights } from './weights.ts';
import { lastOrAveraged } from '../run/run-weights.ts';
import { optimiserOf } from '../section-options.ts';
import type { SetUp, TraineeContext } from '../set-up.ts';

/** Opens the files it needs, makes what they lack, and compiles the steps. */
export async function autoencoderSetUp({
  document,
  label,
  config: run,
  engine,
  ranks,
}: TraineeContext): Promise<SetUp<AutoencoderBatch>> {
  const config = autoencoderTraining(document, label);
  if (config.batch_resize_range)
    throw configError(
      `${label}: batch_resize_range is not supported; give the size of the pictures in data.params.train.params.size.`,
    );
  const { training } = run;
  const size = run.train.size ?? config.autoencoder.ddconfig.resolution;
  const opened: WeightSource[] = [];
  const open = async (path: string): Promise<WeightSource> => {
    const source = await openWeightsAt(path);
    opened.push(source);
    return source;
  };
  const from = training.init ?? config.ckpt_path;
  const checkpoint = from === null ? undefined : lastOrAveraged(await open(from));
  const files = training.lpips === undefined ? [] : await Promise.all([training.lpips].flat().map(open));
  const { objective, weights, fresh } = autoencoderWeights({
    config,
    seed: training.seed,
    ...(checkpoint ? { checkpoint } : {}),
    ...(files.length > 0 ? { perceptual: joined(files) } : {}),
  });
  const trainee = await createAutoencoderTraining({
    engine,
    objective,
    weights,
    autoencoderRate: config.lr_g_factor,
    optimiser: optimiserOf(training, { kind: 'adam', betas: [0.5, 0.9] }),
    weightDecay: training.weight_decay,
    clipNorm: run.loop.clipNorm,
    ...(config.use_ema ? { average: { decay: training.ema_decay } } : {}),
    size: { batch: run.loop.batchSize, height: size, width: size },
    checkpointing: training.checkpointing,
    ranks,
    earlyDiscriminator: training.early_discriminator,
    trainedPart: training.trained_part,
    sampleCount: training.sample_count,
  });
  return {
    trainee,
    size,
    // Only pictures are used.
    missingCaption: { caption: '' },
    fresh,
    async close() {
      await trainee[Symbol.asyncDispose]();
      for (const source of opened) await source.close();
    },
  };
}
