/** Initial weights of an autoencoder: those of files with the names of LDM's checkpoints; missing ones are initialised. */

import { type AutoencoderTrainingConfig, needsPerceptual } from '../../config/autoencoder-training.ts';
import type { LpipsConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { float32 } from '../../tensor/tensor.ts';
import { canonicalWeights } from '../../checkpoints/canonical.ts';
import { inferLpips, isLpips } from '../../checkpoints/infer/losses.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';
import { joined, withNames, withoutPrefix, withPrefix } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { type AutoencoderObjective, traceAutoencoderLoss } from './loss.ts';
import { initialWeights } from '../step/initial-weights.ts';

export interface AutoencoderWeightsOptions {
  readonly config: AutoencoderTrainingConfig;
  /** A checkpoint to start from: an autoencoder's, or a complete model's; names below `loss` are used if present. */
  readonly checkpoint?: WeightSource;
  /** LPIPS: taming's whole network, or VGG16 of torchvision joined with the linear layers of `vgg.pth`. By default the checkpoint's. */
  readonly perceptual?: WeightSource;
  /** Seed of initialised weights. */
  readonly seed: number;
}

export interface AutoencoderWeights {
  readonly objective: AutoencoderObjective;
  readonly weights: WeightSource;
  /** Parameters that no file had. */
  readonly fresh: readonly string[];
}

const perceptualPrefix = 'loss.perceptual_loss.';

/** LPIPS under its own names, from its file or from the checkpoint's `loss`. */
function perceptualWeights(
  { perceptual, config }: AutoencoderWeightsOptions,
  checkpoint: WeightSource | undefined,
): { config: LpipsConfig; weights: WeightSource } | undefined {
  if (!needsPerceptual(config.loss)) return undefined;
  const kept = checkpoint && withoutPrefix(checkpoint, perceptualPrefix);
  const given = perceptual ?? (kept && isLpips(kept.entries) ? kept : undefined);
  if (!given) {
    throw new StableDiffusionError(
      'invalid-argument',
      'The perceptual loss needs the weights of LPIPS. Give the file of taming (or VGG16 and vgg.pth), or set perceptual_weight to 0, or use the loss MultiscaleReconstruction.',
    );
  }
  const weights = canonicalWeights(given, { kind: 'lpips', chns: [1, 1, 1, 1, 1] }).source;
  if (!isLpips(weights.entries))
    throw new StableDiffusionError(
      'weights-mismatch',
      `${given.label} is not LPIPS on VGG16: it should hold lin0.model.1.weight and net.slice1.0.weight, or features.0.weight of VGG16.`,
    );
  return { config: inferLpips(weights.entries).config, weights };
}

/**
 * The weights a training starts with, and the objective they are for.
 * @throws `invalid-argument` where LPIPS is needed and not given, `weights-mismatch`
 */
export function autoencoderWeights(options: AutoencoderWeightsOptions): AutoencoderWeights {
  const { config, seed } = options;
  const stage = options.checkpoint && canonicalWeights(options.checkpoint, config.autoencoder).source;
  const perceptual = perceptualWeights(options, stage);
  const objective: AutoencoderObjective = {
    autoencoder: config.autoencoder,
    loss: config.loss,
    ...(perceptual ? { perceptual: perceptual.config } : {}),
  };
  const wanted = traceAutoencoderLoss(objective)
    .parameters.map(({ name, value }) => ({ name, shape: value.shape.map(Number) }))
    .filter(({ name }) => !name.startsWith(perceptualPrefix));
  const given =
    stage && withNames(stage, (name) => (wanted.some((parameter) => parameter.name === name) ? name : undefined));
  const fresh = wanted.filter(({ name }) => !given?.entries.has(name));
  const logvar =
    config.loss.kind === 'lpips_discriminator' && fresh.some(({ name }) => name === 'loss.logvar')
      ? [memoryWeights(new Map([['loss.logvar', float32([], [config.loss.logvar_init])]]))]
      : [];
  const made = initialWeights(
    fresh.filter(({ name }) => name !== 'loss.logvar'),
    seed,
  );
  const parts = [
    ...(given ? [given] : []),
    made,
    ...logvar,
    ...(perceptual ? [withPrefix(perceptual.weights, perceptualPrefix)] : []),
  ];
  return {
    objective,
    weights: joined(parts, options.checkpoint?.label ?? 'initial weights'),
    fresh: fresh.map(({ name }) => name),
  };
}
