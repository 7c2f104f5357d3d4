/** Sets up the training of networks over pixels from a configuration: guided-diffusion's image_train, super_res_train and classifier_train. */

import { canonicalWeights } from '../../checkpoints/canonical.ts';
import { admFlagsKey } from '../../config/adm-published.ts';
import { className } from '../../config/ldm-network.ts';
import { configError } from '../../config/validate.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { networkParameters } from '../../models/index.ts';
import { joined, type ViewEntry, aliased, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { lossResampler, uniformResampler } from '../objective/timestep-resampler.ts';
import { lastOrAveraged } from '../run/run-weights.ts';
import { optimiserOf } from '../section-options.ts';
import type { SetUp, TraineeContext } from '../set-up.ts';
import { initialWeights } from '../step/initial-weights.ts';
import { annealAfterSteps, annealOverSteps } from '../step/learning-rate.ts';
import { pixelObjective } from './objective.ts';
import { pixelSamples } from './samples.ts';
import { pixelSettings, type PixelTarget } from './settings.ts';
import { createPixelTraining, type PixelBatch } from './trainee.ts';

/** Opens the weights that the run starts from, and compiles the step. */
export async function pixelSetUp(context: TraineeContext): Promise<SetUp<PixelBatch>> {
  const { config: run, label, engine } = context;
  const { training } = run;
  const target = className(run.model['target'], `model of ${label}`) as PixelTarget;
  const settings = pixelSettings(target, run.model, label);
  const objective = pixelObjective(settings);
  if (run.train.size !== undefined && run.train.size !== objective.side)
    throw configError(
      `${label}: the flags are for pictures of ${objective.side} pixels, and data.params.train.params.size is ${run.train.size}. Leave size out.`,
    );
  const wanted = networkParameters(objective.network);
  const from = training.init ?? settings.start;
  const opened = from === undefined ? undefined : await openWeightsAt(from);
  try {
    const given = opened && canonicalWeights(lastOrAveraged(opened), objective.network).source;
    const fresh = given ? [] : wanted;
    const weights: WeightSource = given
      ? weightView(
          given.label,
          wanted.map(({ name }): ViewEntry => aliased(given, name)),
          [given],
        )
      : joined([initialWeights(wanted, training.seed)], 'initial weights');
    const steps = objective.process.tables.betas.length;
    const trainee = await createPixelTraining({
      engine,
      objective,
      weights,
      batch: run.loop.batchSize,
      resampler: settings.scheduleSampler === 'uniform' ? uniformResampler(steps) : lossResampler(steps),
      emaRates: settings.emaRates,
      optimiser: optimiserOf(training),
      ...(training.weight_decay === undefined ? {} : { weightDecay: training.weight_decay }),
      clipNorm: run.loop.clipNorm,
      checkpointing: training.checkpointing,
      ranks: context.ranks,
      metadata: { [admFlagsKey]: JSON.stringify(settings.flags) },
      ...(target === 'classifier_train'
        ? {}
        : { samples: pixelSamples({ engine, objective, weights, settings, training }) }),
    });
    return {
      trainee,
      size: objective.side,
      missingCaption: { caption: '' },
      ...(objective.classes === undefined ? {} : { labels: 'file_name' }),
      fresh: fresh.map(({ name }) => name),
      // The flags lie in the model's file.
      output: {},
      ...(settings.annealSteps > 0 ? { schedule: annealAfterSteps(settings.annealSteps) } : {}),
      ...(settings.annealOverRun ? { schedule: annealOverSteps(run.loop.maxSteps) } : {}),
      async close() {
        await trainee[Symbol.asyncDispose]();
        await opened?.close();
      },
    };
  } catch (error) {
    await opened?.close();
    throw error;
  }
}
