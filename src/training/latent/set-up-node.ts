/** Sets up the training of a latent diffusion model from a configuration and the files it names. */

import { denoiserUnit } from '../../config/network-config.ts';
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { singleCondition } from '../../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { ldmModel } from '../../config/ldm-config.ts';
import { isMapping, configError, type Mapping } from '../../config/validate.ts';
import { bytesOf } from '../../tensor/tensor.ts';
import { type BertTokenizer, createBertTokenizer } from '../../tokenizer/bert-tokenizer.ts';
import { type ClipTokenizer, createClipTokenizer } from '../../tokenizer/clip-tokenizer.ts';
import { readTextOf } from '../../files/open-node.ts';
import { canonicalWeights } from '../../checkpoints/canonical.ts';
import { compVisWeights } from '../../checkpoints/convert-layout.ts';
import { openCheckpointAt } from '../../checkpoints/open-checkpoint-node.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';
import { joined, withNames, withoutPrefix, withPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { concatOf } from './concat-of-model.ts';
import { conditioningOf } from './conditioning.ts';
import { latentImageLog } from './image-log.ts';
import { openAutoencoder } from '../../model/autoencoder.ts';
import { createLatentDiffusionTraining, type LatentDiffusionBatch, type LatentDiffusionTraining } from './trainee.ts';
import { latentDiffusionSamples } from './samples.ts';
import { latentDiffusionWeights } from './weights.ts';
import { lastOrAveraged } from '../run/run-weights.ts';
import { lossVariantsOf, optimiserOf } from '../section-options.ts';
import type { SetUp, TraineeContext } from '../set-up.ts';
import type { TrainingConfig } from '../training-config.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

/** A part's `params.ckpt_path`, which names a file of its weights, and the model's section without these. */
function withoutPaths(model: Mapping): {
  readonly section: Mapping;
  readonly paths: Readonly<Record<'model' | 'first_stage' | 'cond_stage', string | undefined>>;
} {
  const params = isMapping(model['params']) ? model['params'] : {};
  const pathOf = (part: unknown): string | undefined => {
    const inner = isMapping(part) ? part['params'] : undefined;
    return isMapping(inner) && typeof inner['ckpt_path'] === 'string' ? inner['ckpt_path'] : undefined;
  };
  const bare = (part: unknown): unknown => {
    if (!isMapping(part) || !isMapping(part['params'])) return part;
    const { ckpt_path: _, ...rest } = part['params'];
    return { ...part, params: rest };
  };
  const { ckpt_path, ...others } = params;
  const section = {
    ...model,
    params: {
      ...others,
      first_stage_config: bare(params['first_stage_config']),
      cond_stage_config: bare(params['cond_stage_config']),
    },
  };
  return {
    section,
    paths: {
      model: typeof ckpt_path === 'string' ? ckpt_path : undefined,
      first_stage: pathOf(params['first_stage_config']),
      cond_stage: pathOf(params['cond_stage_config']),
    },
  };
}

const isFolderOfModel = (path: string): Promise<boolean> =>
  stat(join(path, 'model_index.json')).then(
    () => true,
    () => false,
  );

/** A whole model, or what there is of one, under the names of a CompVis checkpoint. */
async function openModel(path: string, config: LatentDiffusionConfig): Promise<WeightSource> {
  if (await isFolderOfModel(path)) return compVisWeights(await openCheckpointAt(path));
  const file = lastOrAveraged(await openWeightsAt(path));
  const networks = [
    ['unet', config.unet_config],
    ['first_stage', config.first_stage_config],
    ['cond_stage', singleCondition(config.cond_stage_config, 'Training')],
  ] as const;
  const parts = networks.flatMap(([part, network]) => {
    const prefix = partPrefixes[part];
    const own = withNames(file, (name) => (name.startsWith(prefix) ? name : undefined));
    if (own.entries.size === 0 || network === null || network === 'first_stage' || network.kind === 'identity')
      return [];
    return [withPrefix(canonicalWeights(own, network).source, prefix)];
  });
  if (parts.length === 0)
    throw configError(`${path} holds no part of this model (${Object.values(partPrefixes).join('*, ')}*).`);
  return joined(parts, path);
}

async function tokenizerOf(
  { cond_stage_config: stage }: LatentDiffusionConfig,
  vocabulary: string | undefined,
): Promise<{ readonly tokenizer?: ClipTokenizer | BertTokenizer; readonly files: Readonly<Record<string, string>> }> {
  if (typeof stage !== 'object') return { files: {} };
  if (stage?.kind === 'clip_text')
    return { tokenizer: createClipTokenizer({ vocabSize: stage.vocab_size }), files: {} };
  if (stage?.kind !== 'bert') return { files: {} };
  if (vocabulary === undefined)
    throw configError("A model with BERT's text encoder needs training.vocabulary, the path of its vocab.txt.");
  const vocab = await readTextOf('tokenizer', vocabulary);
  // Next to the model, where loaders look for it.
  return { tokenizer: createBertTokenizer({ vocab, length: stage.max_seq_len }), files: { 'vocab.txt': vocab } };
}

/** Identifies what cached latents depend on, including the autoencoder's weights. */
async function fingerprintOf(weights: WeightSource, config: LatentDiffusionConfig): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(config.first_stage_config));
  for (const name of [...weights.entries.keys()]
    .filter((candidate) => candidate.startsWith(partPrefixes.first_stage))
    .sort())
    hash.update(name).update(bytesOf(await weights.read(name)));
  return hash.digest('hex').slice(0, 32);
}

function dropoutOf(
  { dropout }: TrainingConfig,
  key: string,
): { readonly p: number; readonly val: unknown } | undefined {
  return dropout[key] ?? dropout['txt'] ?? dropout['caption'] ?? dropout['class_label'];
}

/** Opens the weights that a run starts from. A part's own file comes before the whole model's. */
async function openGiven({
  config,
  paths,
  init,
  keep,
}: {
  readonly config: LatentDiffusionConfig;
  readonly paths: ReturnType<typeof withoutPaths>['paths'];
  readonly init: string | undefined;
  readonly keep: (source: WeightSource) => WeightSource;
}): Promise<WeightSource[]> {
  const given: WeightSource[] = [];
  const condConfig = singleCondition(config.cond_stage_config, 'Training');
  if (paths.first_stage !== undefined && config.first_stage_config.kind !== 'identity')
    given.push(
      withPrefix(
        canonicalWeights(lastOrAveraged(keep(await openWeightsAt(paths.first_stage))), config.first_stage_config)
          .source,
        partPrefixes.first_stage,
      ),
    );
  if (paths.cond_stage !== undefined && condConfig !== null && condConfig !== 'first_stage')
    given.push(
      withPrefix(
        canonicalWeights(lastOrAveraged(keep(await openWeightsAt(paths.cond_stage))), condConfig).source,
        partPrefixes.cond_stage,
      ),
    );
  const whole = init ?? paths.model;
  if (whole !== undefined) given.push(keep(await openModel(whole, config)));
  return given;
}

/** Side of the training pictures in pixels, and of their latents. Throws `config-invalid` for a side that the UNet cannot halve often enough. */
function trainedSize(
  asked: number | undefined,
  config: LatentDiffusionConfig,
  downsampling: number,
  label: string,
): { readonly size: number; readonly side: number } {
  const native =
    (typeof config.image_size === 'number' ? config.image_size : (config.image_size[0] ?? 32)) * downsampling;
  const size = asked ?? native;
  const side = size / downsampling;
  const unit = denoiserUnit(config.unet_config);
  if (!Number.isInteger(side) || side % unit !== 0)
    throw configError(
      `${label}: pictures of ${size} pixels cannot be trained on: this model needs multiples of ${downsampling * unit}.`,
    );
  return { size, side };
}

/** Opens the files, makes what they lack, and compiles the step. */
export async function latentDiffusionSetUp(context: TraineeContext): Promise<SetUp<LatentDiffusionBatch>> {
  const { label, config: run, engine } = context;
  const { training } = run;
  const { section, paths } = withoutPaths(run.model);
  const config = ldmModel(section, `model of ${label}`);
  const opened: WeightSource[] = [];
  try {
    const keep = (source: WeightSource): WeightSource => {
      opened.push(source);
      return source;
    };
    const given = await openGiven({ config, paths, init: training.init, keep });
    const { weights, fresh } = latentDiffusionWeights({ config, given, seed: training.seed });

    const stage = openAutoencoder(config.first_stage_config, engine, withoutPrefix(weights, partPrefixes.first_stage));
    const { size, side } = trainedSize(run.train.size, config, stage.downsampling, label);
    const { tokenizer, files } = await tokenizerOf(config, training.vocabulary);
    const dropout = dropoutOf(run, config.cond_stage_key);
    const sampling = {
      engine,
      ...(tokenizer ? { tokenizer } : {}),
      prompts: training.sample_prompts,
      classes: training.sample_classes,
      count: training.sample_count,
      steps: training.sample_steps,
      guidanceScale: training.sample_scale,
      seed: training.sample_seed,
    };
    let trainee: LatentDiffusionTraining | undefined;
    const concat = concatOf(config, context, stage, side, () => trainee?.scaleFactor ?? config.scale_factor);
    const conditioning = conditioningOf({
      config,
      size: { height: size, width: size },
      ...(tokenizer
        ? { tokenize: (text: string) => tokenizer.tokenize(text, { length: config.cond_stage_max_length }).ids }
        : {}),
      ...(dropout ? { dropout } : {}),
      ...(concat ? { concat } : {}),
    });
    const created = await createLatentDiffusionTraining({
      engine,
      firstStage: stage,
      weights,
      objective: {
        config,
        conditioning,
        variants: lossVariantsOf(training),
        size: { batch: run.loop.batchSize, height: side, width: side },
      },
      optimiser: optimiserOf(training),
      weightDecay: training.weight_decay,
      clipNorm: run.loop.clipNorm,
      ...(config.use_ema
        ? { average: { decay: training.ema_decay, condition: training.ema_cond_stage && config.cond_stage_trainable } }
        : {}),
      checkpointing:
        training.checkpointing || ('use_checkpoint' in config.unet_config && config.unet_config.use_checkpoint),
      ranks: context.ranks,
      samples: (checkpoint, batch) => latentDiffusionSamples(checkpoint, batch, { ...sampling, size }),
      imageLog: (checkpoint, batch, settings) => latentImageLog(checkpoint, batch, settings, sampling),
    });
    trainee = created;
    return {
      trainee: created,
      size,
      fresh,
      files,
      latents: { firstStage: stage, fingerprint: () => fingerprintOf(weights, config) },
      async close() {
        await created[Symbol.asyncDispose]();
        for (const source of opened) await source.close();
      },
    };
  } catch (error) {
    for (const source of opened) await source.close();
    throw error;
  }
}
