/** A small classifier of noisy latents with seeded weights, for tests of guidance. */

import { encoderUNetConfigSchema } from '../src/config/network-config.ts';
import type { Engine } from '../src/engine/engine.ts';
import { type Classifier, openClassifier } from '../src/model/classifier.ts';
import { networkParameters } from '../src/models/index.ts';
import { initialWeights } from '../src/training/step/initial-weights.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';

interface Size {
  readonly channels: number;
  readonly side: number;
  readonly classes: number;
}

export const randomClassifierConfig = ({ channels, side, classes }: Size) =>
  encoderUNetConfigSchema.parse({
    kind: 'encoder_unet',
    image_size: side,
    in_channels: channels,
    model_channels: 32,
    out_channels: classes,
    num_res_blocks: 1,
    attention_resolutions: [],
    channel_mult: [1],
    num_head_channels: 16,
    pool: 'attention',
  });

export const classifierWeights = (size: Size): WeightSource =>
  initialWeights(networkParameters(randomClassifierConfig(size)), 3, 'classifier.safetensors');

export const randomClassifier = (engine: Engine, size: Size): Promise<Classifier> =>
  openClassifier({ engine, config: randomClassifierConfig(size), weights: classifierWeights(size) });
