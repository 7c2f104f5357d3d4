/** Line drawings of photographs (Chan et al. 2022, "Learning to Generate Line Drawings that Convey Geometry and Semantics"): `sk_model.pth`, coarse `sk_model2.pth`. */

import { add, relu, sigmoid } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { countOf } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture } from './annotator.ts';
import { doublingConv, instanceNorm, reflectionPad } from './layers.ts';

/** A convolution on an image padded by its reflection. */
const reflected = (p: Params, x: Sym, out: number, kernel: number): Sym =>
  convLayer(p, reflectionPad(x, kernel >> 1), out, { kernel, padding: 0 });

/** x [1, 3, h, w] in [0, 1], sides multiples of 4 → `line` [1, 1, h, w] in [0, 1]; lines are dark. */
function lineartNet(p: Params, x: Sym, residualBlocks: number): Sym {
  let h = relu(instanceNorm(reflected(p.at('model0.1'), x, 64, 7)));
  for (const [layer, channels] of [
    [0, 128],
    [3, 256],
  ] as const)
    h = relu(instanceNorm(convLayer(p.at('model1').at(layer), h, channels, { kernel: 3, stride: 2 })));
  for (let i = 0; i < residualBlocks; i++) {
    const block = p.at('model2').at(i).at('conv_block');
    const inner = relu(instanceNorm(reflected(block.at(1), h, 256, 3)));
    h = add(h, instanceNorm(reflected(block.at(5), inner, 256, 3)));
  }
  for (const [layer, channels] of [
    [0, 128],
    [3, 64],
  ] as const)
    h = relu(instanceNorm(doublingConv(p.at('model3').at(layer), h, channels, 3, [1, 1, 0, 0])));
  return sigmoid(reflected(p.at('model4.1'), h, 1, 7));
}

export const lineart: AnnotatorArchitecture = {
  kind: 'lineart',
  title: 'lineart',
  file: 'sk_model.pth',
  matches: (entries) =>
    entries.has('model0.1.weight') && entries.has('model4.1.weight') && entries.has('model2.0.conv_block.1.weight'),
  read(weights) {
    const blocks = countOf(weights.entries, 'model2.', 'lineart');
    return {
      kind: 'lineart',
      title: 'lineart',
      weights,
      trace: ([height, width]) =>
        traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) => ({
          line: lineartNet(p, need(given, 'x'), blocks),
        })),
    };
  },
};
