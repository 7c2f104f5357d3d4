/**
 * The weights of LPIPS as files have them: taming's whole network; or torchvision's VGG16 (`features.0.weight`, …) joined with the linear
 * layers of richzhang/PerceptualSimilarity (`vgg.pth`: `lin0.model.1.weight`, …), which both lack the constants of the scaling layer.
 */

import { float32, type Tensor } from '../tensor/tensor.ts';
import { aliased, type ViewEntry, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

/** ImageNet's mean and standard deviation for images in [-1, 1], as the original rounds them. */
const scalingLayer: Readonly<Record<string, readonly number[]>> = {
  'scaling_layer.shift': [-0.03, -0.088, -0.188],
  'scaling_layer.scale': [0.458, 0.448, 0.45],
};

/** First layers of levels 2 … 5 in torchvision's numbering. */
const levelStarts = [4, 9, 16, 23];

function canonicalName(name: string): string | undefined {
  if (name.startsWith('classifier.')) return undefined;
  const layer = /^features\.(\d+)\.(.*)$/.exec(name);
  return layer
    ? `net.slice${1 + levelStarts.filter((start) => Number(layer[1]) >= start).length}.${layer[1]}.${layer[2]}`
    : name;
}

/** The same weights under taming's names, with the scaling layer added if it is missing. */
export function lpipsWeights(source: WeightSource): WeightSource {
  const tensors = [...source.entries.keys()].flatMap((name): ViewEntry[] => {
    const to = canonicalName(name);
    return to === undefined ? [] : [aliased(source, name, to)];
  });
  for (const [name, values] of Object.entries(scalingLayer)) {
    if (source.entries.has(name)) continue;
    const shape = [1, 3, 1, 1];
    tensors.push({
      entry: { name, dtype: 'float32', shape },
      read: async (): Promise<Tensor> => float32(shape, values),
    });
  }
  return weightView(source.label, tensors, [source]);
}
