/**
 * Semantic maps as a condition: the class of each pixel, one-hot, brought to the latent's size (`SpatialRescaler`) and concatenated to it. In sampling the
 * map is a picture of the run's start (`pipelines/picture-conditions.ts`); here is its form in a training graph.
 */

import type { SpatialRescalerConfig } from '../config/network-config.ts';
import { spatialRescaler } from '../models/spatial-rescaler.ts';
import { need } from '../models/trace-network.ts';
import type { ConditionerKind } from './conditioner.ts';
import { picture } from './none.ts';

export const semanticMap: ConditionerKind<SpatialRescalerConfig> = {
  takes: 'maps',
  classes: ({ in_channels }) => in_channels,
  trace: (p, config, given) => ({ concat: spatialRescaler(p, config, need(given, 'map')) }),
  create: (config, part, context) => ({ ...picture.create(config, part, context), takes: 'maps' }),
};
