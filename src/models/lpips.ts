/**
 * LPIPS, the perceptual distance of two images (Zhang et al. 2018, arXiv:1801.03924; `taming.modules.losses.lpips.LPIPS`): weighted squared
 * differences of normalised VGG16 features (Simonyan & Zisserman 2015) after the last ReLU of each of the five levels.
 *
 * Dropout before the linear layers is left out. (The original means to, by `eval()`; Lightning turns it on again when it trains.)
 */

import type { LpipsConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, div, maximum, maxPool, mean, mul, relu, sqrt, sub, sum } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { InputSpec, Params, Sym } from '../graph/trace.ts';
import { convLayer } from '../nn/conv.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Numbers of the convolutions of each level in torchvision's `vgg16().features`, which the names keep. */
export const vggLevels: readonly (readonly number[])[] = [
  [0, 2],
  [5, 7],
  [10, 12, 14],
  [17, 19, 21],
  [24, 26, 28],
];

/** Images in [-1, 1] [b, 3, h, w] → features [b, chns[k], h / 2^k, w / 2^k] of the five levels. */
export function lpipsFeatures(p: Params, config: LpipsConfig, image: Sym): readonly Sym[] {
  const scaling = p.at('scaling_layer');
  let x = div(sub(image, scaling.get('shift', [1, 3, 1, 1])), scaling.get('scale', [1, 3, 1, 1]));
  return vggLevels.map((layers, level) => {
    if (level > 0) x = maxPool(x, { kernel: 2 });
    const slice = p.at('net').at(`slice${level + 1}`);
    for (const layer of layers) x = relu(convLayer(slice.at(layer), x, config.chns[level] ?? 1, { kernel: 3 }));
    return x;
  });
}

/** Each pixel divided by the norm of its channels. A pixel without any feature has no gradient, where the original's is not a number. */
function normalise(x: Sym): Sym {
  const square = sum(mul(x, x), [1], { keepDims: true });
  return div(x, add(sqrt(maximum(square, 1e-37)), 1e-10));
}

export interface PerceptualDistance {
  /** [b, 1, 1, 1]. */
  readonly distance: Sym;
  /** Features of both images, by level. */
  readonly features: readonly (readonly [a: Sym, b: Sym])[];
}

/** The distance of images a and b, both [b, 3, h, w] in [-1, 1]. */
export function lpips(p: Params, config: LpipsConfig, a: Sym, b: Sym): PerceptualDistance {
  const [ofA, ofB] = [lpipsFeatures(p, config, a), lpipsFeatures(p, config, b)];
  const features = ofA.map((value, level): readonly [Sym, Sym] => [value, ofB[level] ?? value]);
  const terms = features.map(([x, y], level) => {
    const difference = sub(normalise(x), normalise(y));
    const linear = p.at(`lin${level}`);
    const each = convLayer(linear.at('model.1'), mul(difference, difference), 1, { kernel: 1, bias: false });
    return linear.mark(mean(each, [2, 3], { keepDims: true }));
  });
  return { distance: terms.reduce((total, term) => add(total, term)), features };
}

/** a and b [batch, 3, height, width] → distance [batch, 1, 1, 1], and that of a to itself. Taps: a.relu1 … b.relu5, lin0 … lin4. */
export function traceLpips(config: LpipsConfig, options?: NetworkTraceOptions): Graph {
  const image: InputSpec = { dtype: 'float32', shape: [dim('batch'), 3, dim('height'), dim('width')] };
  return traceNetwork(
    { a: image, b: image },
    (p, given) => {
      const [a, b] = [need(given, 'a'), need(given, 'b')];
      const self = lpips(p, config, a, a).distance;
      const { distance, features } = lpips(p, config, a, b);
      for (const [level, [x, y]] of features.entries()) {
        p.at('a')
          .at(`relu${level + 1}`)
          .mark(x);
        p.at('b')
          .at(`relu${level + 1}`)
          .mark(y);
      }
      return { distance, 'distance.self': self };
    },
    options,
  );
}
