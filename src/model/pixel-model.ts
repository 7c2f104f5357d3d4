/**
 * A model of pixels as guided-diffusion publishes them: a UNet alone, over pictures, upsampling or not, with the process that its flags mean, and
 * a classifier as a guide.
 */

import { canonicalWeights } from '../checkpoints/canonical.ts';
import { type AdmFlags, admClassifier, admUNet } from '../config/adm-flags.ts';
import {
  type GaussianNetwork,
  type GaussianProcess,
  type GuideGradient,
  admProcess,
} from '../diffusion/gaussian/index.ts';
import type { Engine, Program } from '../engine/engine.ts';
import { StableDiffusionError } from '../errors.ts';
import { traceClassifierGuide } from '../models/classifier-guide.ts';
import { traceUNet } from '../models/unet.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import { expectDType, float32, int64, type Tensor } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { assertNetworksMatch } from './network-set.ts';

export interface PixelModelOptions {
  readonly engine: Engine;
  readonly flags: AdmFlags;
  readonly weights: WeightSource;
  /** Weights of a classifier of noisy pictures of the same size. */
  readonly classifier?: WeightSource | undefined;
}

/** What the pictures of a batch are made with. */
export interface PixelCondition {
  /** One for each picture; of models with classes, and for a guide. */
  readonly classes?: readonly number[] | undefined;
  /** Upsamplers: the small pictures, float32 [n, 3, h, w] in [-1, 1]. */
  readonly small?: Tensor<'float32'> | undefined;
}

export interface PixelModel extends AsyncDisposable {
  readonly label: string;
  /** Pixels of each side. */
  readonly side: number;
  /** Of an upsampler: the side of the small pictures. */
  readonly smallSide: number | undefined;
  /** Number of classes of the model, else of its classifier; null for none. */
  readonly classes: number | null;
  readonly process: GaussianProcess;
  network(condition: PixelCondition): GaussianNetwork;
  /** The gradient of the classifier, times the scale. Throws `invalid-argument` without one. */
  guide(condition: PixelCondition, scale: number): GuideGradient;
}

const steps = (told: readonly number[]): Tensor<'float32'> => float32([told.length], [...told]);

function labels({ classes }: PixelCondition, label: string): Tensor<'int64'> {
  if (classes) return int64([classes.length], classes);
  throw new StableDiffusionError('invalid-argument', `${label} makes pictures of classes, and none was given.`);
}

/** Compiles the networks. Throws `weights-mismatch` where the flags are not those of the weights. */
export async function openPixelModel({ engine, flags, weights, classifier }: PixelModelOptions): Promise<PixelModel> {
  const config = admUNet(flags);
  const { source } = canonicalWeights(weights, config);
  assertNetworksMatch([{ config, weights: source }]);
  const programs: Program[] = [];
  const compile = async (...given: Parameters<Engine['compile']>): Promise<Program> => {
    const program = await engine.compile(...given);
    programs.push(program);
    return program;
  };
  const unet = await compile(traceUNet(config), source);
  const guideConfig = classifier && admClassifier(flags);
  if (classifier && guideConfig)
    assertNetworksMatch([{ config: guideConfig, weights: canonicalWeights(classifier, guideConfig).source }]);
  const guiding =
    classifier && guideConfig
      ? await compile(traceClassifierGuide(guideConfig), canonicalWeights(classifier, guideConfig).source)
      : undefined;
  const { label } = weights;
  const side = flags.large_size ?? flags.image_size;
  return {
    label,
    side,
    smallSide: flags.large_size === undefined ? undefined : flags.small_size,
    classes: config.num_classes ?? guideConfig?.out_channels ?? null,
    process: admProcess(flags),
    network(condition) {
      const y = config.num_classes === null ? undefined : labels(condition, label);
      const { small } = condition;
      if (flags.large_size !== undefined && !small)
        throw new StableDiffusionError('invalid-argument', `${label} enlarges pictures, and none were given.`);
      const enlarged = flags.large_size !== undefined && small ? resizeBilinear(small, side, side) : undefined;
      return async (x, told, signal) => {
        const input = enlarged ? concatenate([x, enlarged], 1) : x;
        const made = await unet.run(
          { x: input, timesteps: steps(told), ...(y ? { y } : {}) },
          signal ? { signal } : {},
        );
        return expectDType(made['out'] as Tensor, 'float32');
      };
    },
    guide(condition, scale) {
      if (!guiding)
        throw new StableDiffusionError('invalid-argument', `${label} has no classifier to guide it. Give one.`);
      const y = labels(condition, 'A classifier');
      return async (x, told, signal) => {
        const made = await guiding.run({ x, timesteps: steps(told), y }, signal ? { signal } : {});
        const { data } = expectDType(made['grad.x'] as Tensor, 'float32');
        return { ...x, data: data.map((value) => value * scale) };
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(programs.map((program) => program.dispose()));
    },
  };
}
