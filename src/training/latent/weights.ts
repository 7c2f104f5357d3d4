/** Initial weights of a latent diffusion model: the parts of files with the names of a CompVis checkpoint; missing ones are initialised. */

import { singleCondition } from '../../config/conditioner-parts.ts';
import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { configError } from '../../config/validate.ts';
import { StableDiffusionError } from '../../errors.ts';
import { networkParameters } from '../../models/index.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { elementCount, float32, type Shape } from '../../tensor/tensor.ts';

import { memoryWeights } from '../../weights/memory-weights.ts';
import { aliased, joined, type ViewEntry, weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { initialWeights, type WantedParameter } from '../step/initial-weights.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

export interface LatentDiffusionWeightsOptions {
  readonly config: LatentDiffusionConfig;
  /** Files under the names of a CompVis checkpoint; the first that has a parameter gives it. */
  readonly given: readonly WeightSource[];
  /** Seed of initialised weights. */
  readonly seed: number;
}

export interface LatentDiffusionWeights {
  readonly weights: WeightSource;
  /** Parameters that no file had. */
  readonly fresh: readonly string[];
}

const firstConvolution = `${partPrefixes.unet}input_blocks.0.0.weight`;

/** Parameters of the whole model, under the names of a CompVis checkpoint. */
export function modelParameters({
  unet_config,
  first_stage_config,
  cond_stage_config: condition,
}: LatentDiffusionConfig): readonly WantedParameter[] {
  const cond_stage_config = singleCondition(condition, 'Training');
  const of = (prefix: string, network: Parameters<typeof networkParameters>[0]): WantedParameter[] =>
    networkParameters(network).map(({ name, shape }) => ({ name: prefix + name, shape }));
  return [
    ...of(partPrefixes.unet, unet_config),
    ...(first_stage_config.kind === 'identity' ? [] : of(partPrefixes.first_stage, first_stage_config)),
    ...(cond_stage_config === null || cond_stage_config === 'first_stage' || cond_stage_config.kind === 'identity'
      ? []
      : of(partPrefixes.cond_stage, cond_stage_config)),
  ];
}

/** The first convolution of a UNet with more channels than the file's: additional ones are zero, so that the model is initially unchanged. */
function widened(source: WeightSource, { name, shape }: WantedParameter): ViewEntry {
  return {
    entry: { name, shape, dtype: 'float32' },
    async read(signal) {
      const { data, shape: old } = toFloat32(await source.read(name, signal));
      const out = new Float32Array(elementCount(shape));
      const [rows, from, to] = [shape[0] ?? 0, elementCount(old.slice(1)), elementCount(shape.slice(1))];
      for (let row = 0; row < rows; row++) out.set(data.subarray(row * from, (row + 1) * from), row * to);
      return float32(shape, out);
    },
  };
}

function entryOf(source: WeightSource, wanted: WantedParameter): ViewEntry {
  const found = source.entries.get(wanted.name)?.shape as Shape;
  if (found.join() === wanted.shape.join()) return aliased(source, wanted.name);
  const isWider =
    wanted.name === firstConvolution &&
    found.length === 4 &&
    found[0] === wanted.shape[0] &&
    (found[1] ?? 0) < (wanted.shape[1] ?? 0) &&
    found[2] === wanted.shape[2];
  if (isWider) return widened(source, wanted);
  throw new StableDiffusionError(
    'weights-mismatch',
    `${source.label}: ${wanted.name} is [${found.join(', ')}], but the configuration needs [${wanted.shape.join(', ')}].`,
  );
}

/**
 * @throws `config-invalid` where nothing gives the weights of the autoencoder or of a frozen encoder of conditions, `weights-mismatch`
 */
export function latentDiffusionWeights({ config, given, seed }: LatentDiffusionWeightsOptions): LatentDiffusionWeights {
  const wanted = modelParameters(config);
  const known: ViewEntry[] = [];
  const fresh: WantedParameter[] = [];
  for (const parameter of wanted) {
    const source = given.find(({ entries }) => entries.has(parameter.name));
    if (source) known.push(entryOf(source, parameter));
    else fresh.push(parameter);
  }
  const lacks = (prefix: string): string[] => fresh.flatMap(({ name }) => (name.startsWith(prefix) ? [name] : []));
  const [stage] = lacks(partPrefixes.first_stage);
  if (stage !== undefined)
    throw configError(
      `The autoencoder is frozen in training, but no file has its weights (${stage}, …). Give first_stage_config.params.ckpt_path, a run's checkpoint or model, or training.init, a whole model.`,
    );
  const [condition] = config.cond_stage_trainable ? [] : lacks(partPrefixes.cond_stage);
  if (condition !== undefined)
    throw configError(
      `The encoder of conditions is frozen in training, but no file has its weights (${condition}, …). Give cond_stage_config.params.ckpt_path or training.init, or train it too: cond_stage_trainable: true.`,
    );
  const logvar = config.learn_logvar
    ? [
        memoryWeights(
          new Map([
            ['logvar', float32([config.timesteps], new Float32Array(config.timesteps).fill(config.logvar_init))],
          ]),
        ),
      ]
    : [];
  const files = weightView(given.map(({ label }) => label).join(' + ') || 'initial weights', known, given);
  return {
    weights: joined([files, initialWeights(fresh, seed), ...logvar], files.label),
    fresh: fresh.map(({ name }) => name),
  };
}
