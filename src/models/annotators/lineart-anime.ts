/** Line drawings of anime pictures (the U-Net of pix2pix, Isola et al. 2017): `netG.pth`. */

import { concat, leakyRelu, relu, tanh } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, hasPrefix } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { withoutPrefix } from '../../weights/view.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture } from './annotator.ts';
import { doublingConv, instanceNorm } from './layers.ts';

const halving = (p: Params, x: Sym, out: number): Sym => convLayer(p, x, out, { kernel: 4, stride: 2, padding: 1 });
const doubling = (p: Params, x: Sym, out: number): Sym => doublingConv(p, x, out, 4, [1, 1, 1, 1]);

/** Widths of the levels below the first, outermost first. */
const widths = (filters: number): number[] => [2, 4, 8, 8, 8, 8, 8].map((times) => times * filters);

/** One level: x activated (in place, so that the skip connection is activated too) beside what the levels below make of it. */
function level(p: Params, x: Sym, inner: readonly number[], outer: number): Sym {
  const [width = outer, ...below] = inner;
  const active = leakyRelu(x, 0.2);
  const down = halving(p.at('model.1'), active, width);
  const innermost = below.length === 0;
  const middle = innermost ? down : level(p.at('model.3'), instanceNorm(down), below, width);
  const up = doubling(p.at('model').at(innermost ? 3 : 5), relu(middle), outer);
  return concat([active, instanceNorm(up)], 1);
}

/** x [1, 3, h, w] in [-1, 1], sides multiples of 256 → `line` [1, 1, h, w] in [-1, 1]; lines are dark. */
function animeNet(p: Params, x: Sym, filters: number): Sym {
  const first = halving(p.at('model.model.0'), x, filters);
  const middle = level(p.at('model.model.1'), first, widths(filters), filters);
  return tanh(doubling(p.at('model.model.3'), relu(middle), 1));
}

export const lineartAnime: AnnotatorArchitecture = {
  kind: 'lineart_anime',
  title: 'lineart anime',
  file: 'netG.pth',
  matches: (entries) =>
    ['', 'module.'].some(
      (prefix) => entries.has(`${prefix}model.model.0.weight`) && entries.has(`${prefix}model.model.1.model.1.weight`),
    ),
  read(source) {
    const weights = hasPrefix(source.entries, 'module.') ? withoutPrefix(source, 'module.') : source;
    const filters = axis(weights.entries, 'model.model.0.weight', 4, 0, 'lineart anime');
    return {
      kind: 'lineart_anime',
      title: 'lineart anime',
      weights,
      trace: ([height, width]) =>
        traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) => ({
          line: animeNet(p, need(given, 'x'), filters),
        })),
    };
  },
};
