/**
 * Sets up the training of a classifier of noisy latents from a configuration (`ldm.models.diffusion.classifier.NoisyLatentImageClassifier`):
 * the first half of a diffusion model's UNet, over the latents and the noise of that model.
 */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { canonicalWeights } from '../../checkpoints/canonical.ts';
import { openCheckpointAt } from '../../checkpoints/open-checkpoint-node.ts';
import { configError, validated } from '../../config/validate.ts';
import { gaussianProcess } from '../../diffusion/gaussian/index.ts';
import { betasOf } from '../../diffusion/model-schedule.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { openAutoencoder } from '../../model/autoencoder.ts';
import { latentClassifier } from '../../model/classifier.ts';
import { networkParameters } from '../../models/index.ts';
import { scale } from '../../tensor/arithmetic.ts';
import { aliased, type ViewEntry, weightView } from '../../weights/view.ts';
import { uniformResampler } from '../objective/timestep-resampler.ts';
import { classifierObjective, classInput, type PixelObjective } from '../pixels/objective.ts';
import { createPixelTraining, type PixelBatch } from '../pixels/trainee.ts';
import { lastOrAveraged } from '../run/run-weights.ts';
import { optimiserOf } from '../section-options.ts';
import type { SetUp, TraineeContext } from '../set-up.ts';
import { initialWeights } from '../step/initial-weights.ts';
import { latentsOf } from './latents.ts';

const paramsSchema = z.strictObject({
  diffusion_path: z.string(),
  diffusion_ckpt_path: z.string().nullish(),
  num_classes: z.int().min(2).max(1_000_000),
  pool: z.enum(['adaptive', 'attention', 'spatial', 'spatial_v2']).default('attention'),
  label_key: z.string().nullish(),
  ckpt_path: z.string().nullish(),
  weight_decay: z.number().min(0).default(0.01),
  scheduler_config: z.unknown().optional(),
  monitor: z.string().optional(),
  // Only the pictures that the original logs depend on it.
  log_steps: z.int().positive().optional(),
});

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (status) => status.isFile(),
    () => false,
  );

async function firstFile(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await isFile(path)) return path;
  return undefined;
}

/** The newest `configs/DATE-project.yaml` of a run of the original, the model's YAML of a run of this program, or a YAML file itself. */
async function diffusionYaml(path: string, label: string): Promise<string> {
  if (await isFile(path)) return path;
  const configs = await readdir(join(path, 'configs')).catch(() => []);
  const collator = new Intl.Collator('en', { numeric: true });
  const projects = configs.filter((name) => name.endsWith('-project.yaml')).sort(collator.compare);
  const newest = projects.at(-1);
  const found =
    newest === undefined
      ? await firstFile([join(path, 'model.yaml')])
      : await firstFile([join(path, 'configs', newest)]);
  if (found !== undefined) return found;
  throw configError(
    `${label}: diffusion_path is ${path}, which has neither configs/*-project.yaml nor model.yaml. Name the folder of the diffusion model's run, or its YAML.`,
  );
}

/** Opens the diffusion model whose latents are judged. */
async function openDiffusion(
  { diffusion_path: path, diffusion_ckpt_path: given }: z.output<typeof paramsSchema>,
  label: string,
): Promise<Checkpoint> {
  const config = await diffusionYaml(path, label);
  const weights = given ?? (await firstFile([join(path, 'model.safetensors'), join(path, 'checkpoints', 'last.ckpt')]));
  if (weights === undefined)
    throw configError(
      `${label}: name the diffusion model's weights as diffusion_ckpt_path; ${path} has neither model.safetensors nor checkpoints/last.ckpt.`,
    );
  return openCheckpointAt(weights, { config });
}

/** Throws `config-invalid` for a diffusion model without classes. */
function classKeyOf({ config }: Checkpoint, given: string | null | undefined, label: string): string {
  const { cond_stage_key: own } = config;
  const key = own === 'class_label' || own === 'segmentation' ? own : (given ?? own);
  if (key === 'class_label') return key;
  throw configError(
    key === 'segmentation'
      ? `${label}: classifiers of maps (segmentation) are not trained here; those of class_label are.`
      : `${label}: the diffusion model has the condition ${own}. Give label_key: class_label to train a classifier of its latents.`,
  );
}

/** Opens the diffusion model and the weights to start from, and compiles the step. */
export async function latentClassifierSetUp(context: TraineeContext): Promise<SetUp<PixelBatch>> {
  const { config: run, engine } = context;
  const label = `model of ${context.label}`;
  const params = validated(paramsSchema, run.model['params'] ?? {}, `params of ${label}`);
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const one of closing.reverse()) await one();
  };
  try {
    const diffusion = await openDiffusion(params, label);
    closing.push(diffusion.close);
    const { config, parts } = diffusion;
    if (config.unet_config.kind !== 'unet')
      throw configError(`${label}: ${diffusion.label} has no UNet of latent-diffusion, of which a classifier is half.`);
    const classKey = classKeyOf(diffusion, params.label_key, label);
    const stage = openAutoencoder(config.first_stage_config, engine, parts.first_stage);
    closing.push(async () => stage[Symbol.asyncDispose]());
    const side = typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 0);
    const size = side * stage.downsampling;
    if (run.train.size !== undefined && run.train.size !== size)
      throw configError(
        `${label}: the diffusion model makes pictures of ${size} pixels, and data.params.train.params.size is ${run.train.size}. A classifier judges latents of one size; leave size out.`,
      );
    const network = latentClassifier(config.unet_config, { ...params, classes: params.num_classes, side }, label);
    const objective: PixelObjective = {
      ...classifierObjective(network, gaussianProcess({ betas: betasOf(config) }), side),
      inputs: async (items, generator) => ({
        x0: scale(await latentsOf(items, stage, generator), config.scale_factor),
        y: classInput(items, classKey, params.num_classes),
      }),
    };
    const wanted = networkParameters(network);
    const from = run.training.init ?? params.ckpt_path ?? undefined;
    const opened = from === undefined ? undefined : await openWeightsAt(from);
    if (opened) closing.push(() => opened.close());
    const start = opened && canonicalWeights(lastOrAveraged(opened), network).source;
    const trainee = await createPixelTraining({
      engine,
      objective,
      weights: start
        ? weightView(
            start.label,
            wanted.map(({ name }): ViewEntry => aliased(start, name)),
            [start],
          )
        : initialWeights(wanted, run.training.seed),
      batch: run.loop.batchSize,
      resampler: uniformResampler(config.timesteps),
      emaRates: [],
      optimiser: optimiserOf(run.training),
      weightDecay: run.training.weight_decay ?? params.weight_decay,
      clipNorm: run.loop.clipNorm,
      checkpointing: run.training.checkpointing,
      ranks: context.ranks,
      metadata: {},
    });
    closing.push(async () => trainee[Symbol.asyncDispose]());
    return {
      trainee,
      size,
      missingCaption: { caption: '' },
      fresh: start ? [] : wanted.map(({ name }) => name),
      // Its sizes follow from the model that it guides.
      output: {},
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
