/** SRVGGNetCompact of Real-ESRGAN (Wang et al. 2021): convolutions with PReLU, pixel shuffle, and the enlarged picture added. */

import { axis, countOf, unknown } from '../../checkpoints/infer/shapes.ts';
import { dim } from '../../graph/dim.ts';
import { add, minimum, mul, relu, reshape, upsampleNearest } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { pixelShuffle } from '../../nn/pixel-shuffle.ts';
import { need, traceNetwork } from '../trace-network.ts';
import { purposeOf, type UpscalerArchitecture } from './architecture.ts';

interface CompactConfig {
  readonly filters: number;
  /** Number of the last convolution in `body`. */
  readonly last: number;
  readonly channels: number;
  readonly scale: number;
}

/** `torch.nn.PReLU` with one slope a channel. */
function prelu(p: Params, x: Sym): Sym {
  return p.module(() => {
    const slope = reshape(p.get('weight', [fixedSize(x, 1)]), [1, -1, 1, 1]);
    return add(relu(x), mul(slope, minimum(x, 0)));
  });
}

function compactNet(p: Params, { filters, last, channels, scale }: CompactConfig, picture: Sym): Sym {
  const body = p.at('body');
  let h = picture;
  for (let layer = 0; layer < last; layer += 2)
    h = prelu(body.at(layer + 1), convLayer(body.at(layer), h, filters, { kernel: 3 }));
  const out = pixelShuffle(convLayer(body.at(last), h, channels * scale ** 2, { kernel: 3 }), scale);
  return add(out, scale === 1 ? picture : upsampleNearest(picture, scale));
}

export const compact: UpscalerArchitecture = {
  name: 'Compact',
  matches: (entries) =>
    entries.get('body.0.weight')?.shape.length === 4 && entries.get('body.1.weight')?.shape.length === 1,
  read(source) {
    const { entries } = source;
    const what = 'Compact';
    const last = countOf(entries, 'body.', what) - 1;
    const channels = axis(entries, 'body.0.weight', 4, 1, what);
    const filters = axis(entries, 'body.0.weight', 4, 0, what);
    const scale = Math.sqrt(axis(entries, `body.${last}.weight`, 4, 0, what) / channels);
    if (!Number.isInteger(scale))
      throw unknown(what, `body.${last}.weight has no whole scale for ${channels} channels`);
    const config = { filters, last, channels, scale };
    return {
      architecture: what,
      scale,
      channels,
      purpose: purposeOf(scale),
      tags: [`${filters}nf`, `${(last - 2) / 2}nc`],
      picture: { minimum: 0, multiple: 1 },
      multiple: 1,
      fixedSize: false,
      weights: source,
      trace: () =>
        traceNetwork(
          { x: { dtype: 'float32', shape: [dim('batch'), channels, dim('height'), dim('width')] } },
          (p, given) => ({ out: compactNet(p, config, need(given, 'x')) }),
        ),
    };
  },
};
