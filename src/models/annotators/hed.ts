/** HED soft edges (Xie & Tu 2015, "Holistically-Nested Edge Detection") as trained for ControlNet: `ControlNetHED.pth`. */

import { maxPool, sub } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture } from './annotator.ts';
import { convRelu } from './layers.ts';

const blocks = [
  { channels: 64, layers: 2 },
  { channels: 128, layers: 2 },
  { channels: 256, layers: 3 },
  { channels: 512, layers: 3 },
  { channels: 512, layers: 3 },
] as const;

/** x [1, 3, h, w] in 0 to 255 → logits of edges, `projection.N` [1, 1, h / 2^N, w / 2^N]. */
function hedNet(p: Params, x: Sym): Record<string, Sym> {
  let h = sub(x, p.get('norm', [1, 3, 1, 1]));
  const outputs: Record<string, Sym> = {};
  for (const [i, { channels, layers }] of blocks.entries()) {
    const block = p.at(`block${i + 1}`);
    if (i > 0) h = maxPool(h, { kernel: 2 });
    for (let layer = 0; layer < layers; layer++) h = convRelu(block.at('convs').at(layer), h, channels, 3);
    outputs[`projection.${i}`] = convLayer(block.at('projection'), h, 1, { kernel: 1 });
  }
  return outputs;
}

export const hed: AnnotatorArchitecture = {
  kind: 'hed',
  title: 'HED',
  file: 'ControlNetHED.pth',
  matches: (entries) => entries.has('norm') && entries.has('block5.projection.weight'),
  read: (weights) => ({
    kind: 'hed',
    title: 'HED',
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) =>
        hedNet(p, need(given, 'x')),
      ),
  }),
};
