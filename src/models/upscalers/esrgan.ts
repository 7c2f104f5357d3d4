/**
 * ESRGAN's RRDBNet (Wang et al. 2018, 2021): residual-in-residual dense blocks, then nearest upsampling with a convolution for each
 * doubling. Files have one of three sets of names: the oldest (`model.1.sub.N`), BSRGAN's (`RRDB_trunk.N`), Real-ESRGAN's (`body.N.rdbM`).
 */

import { axis, countOf, type Entries, unknown } from '../../checkpoints/infer/shapes.ts';
import { dim, multiplyDims } from '../../graph/dim.ts';
import { add, concat, leakyRelu, mul } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { pixelUnshuffle } from '../../nn/pixel-shuffle.ts';
import { double } from '../../nn/resample.ts';
import { withNames } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import { purposeOf, type UpscalerArchitecture } from './architecture.ts';

interface EsrganConfig {
  /** Channels of the picture. */
  readonly channels: number;
  readonly filters: number;
  readonly growth: number;
  readonly blocks: number;
  /** Doublings after the blocks. */
  readonly doublings: number;
  /** Pixel unshuffle before the first convolution; 1 is none. */
  readonly shuffle: number;
}

/** Residual dense block: five convolutions, each over all before it; the sum is scaled by 0.2. */
function denseBlock(p: Params, x: Sym, growth: number): Sym {
  const features = [x];
  for (let i = 1; i < 5; i++)
    features.push(leakyRelu(convLayer(p.at(`conv${i}`), concat(features, 1), growth, { kernel: 3 }), 0.2));
  return add(mul(convLayer(p.at('conv5'), concat(features, 1), fixedSize(x, 1), { kernel: 3 }), 0.2), x);
}

function rrdbNet(p: Params, config: EsrganConfig, picture: Sym): Sym {
  const { filters, growth, blocks, doublings, shuffle, channels } = config;
  const first = convLayer(p.at('conv_first'), pixelUnshuffle(picture, shuffle), filters, { kernel: 3 });
  let h = first;
  for (let i = 0; i < blocks; i++) {
    const block = p.at('body').at(i);
    const inner = [1, 2, 3].reduce((value, n) => denseBlock(block.at(`rdb${n}`), value, growth), h);
    h = add(mul(inner, 0.2), h);
  }
  h = add(first, convLayer(p.at('conv_body'), h, filters, { kernel: 3 }));
  for (let i = 1; i <= doublings; i++)
    h = leakyRelu(convLayer(p.at(`conv_up${i}`), double(h), filters, { kernel: 3 }), 0.2);
  h = leakyRelu(convLayer(p.at('conv_hr'), h, filters, { kernel: 3 }), 0.2);
  return convLayer(p.at('conv_last'), h, channels, { kernel: 3 });
}

/** The oldest names number the layers of a Sequential: 0, 1 (blocks), then three layers a doubling, then two convolutions. */
function fromOldest(entries: Entries): (name: string) => string {
  const last = countOf(entries, 'model.', 'ESRGAN', 'allow') - 1;
  const blocks = countOf(entries, 'model.1.sub.', 'ESRGAN') - 1;
  return (name) =>
    name
      .replace(/^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\./, 'body.$1.rdb$2.conv$3.')
      .replace(new RegExp(`^model\\.1\\.sub\\.${blocks}\\.`), 'conv_body.')
      .replace(/^model\.(\d+)\./, (_, digits: string) => {
        const layer = Number(digits);
        if (layer === 0) return 'conv_first.';
        if (layer === last) return 'conv_last.';
        return layer === last - 2 ? 'conv_hr.' : `conv_up${layer / 3}.`;
      });
}

const fromTrunk = (name: string): string =>
  name
    .replace(/^RRDB_trunk\.(\d+)\.RDB(\d)\./, 'body.$1.rdb$2.')
    .replace(/^trunk_conv\./, 'conv_body.')
    .replace(/^upconv(\d)\./, 'conv_up$1.')
    .replace(/^HRconv\./, 'conv_hr.');

/** The file's tensors under Real-ESRGAN's names. */
function newestNames(source: WeightSource): WeightSource {
  const { entries } = source;
  if (entries.has('model.0.weight')) return withNames(source, fromOldest(entries));
  return entries.has('trunk_conv.weight') ? withNames(source, fromTrunk) : source;
}

export const esrgan: UpscalerArchitecture = {
  name: 'ESRGAN',
  matches: (entries) =>
    entries.has('model.1.sub.0.RDB1.conv1.0.weight') ||
    entries.has('RRDB_trunk.0.RDB1.conv1.weight') ||
    entries.has('body.0.rdb1.conv1.weight'),
  read(source) {
    if ([...source.entries.keys()].some((name) => name.includes('.conv1x1.')))
      throw unknown('ESRGAN', 'ESRGAN+ (conv1x1) is unsupported');
    const weights = newestNames(source);
    const { entries } = weights;
    const what = 'ESRGAN';
    const input = axis(entries, 'conv_first.weight', 4, 1, what);
    const channels = axis(entries, 'conv_last.weight', 4, 0, what);
    const shuffle = [2, 4].find((factor) => input === channels * factor ** 2) ?? 1;
    let doublings = 0;
    while (entries.has(`conv_up${doublings + 1}.weight`)) doublings++;
    const config: EsrganConfig = {
      channels,
      shuffle,
      doublings,
      filters: axis(entries, 'conv_first.weight', 4, 0, what),
      growth: axis(entries, 'body.0.rdb1.conv1.weight', 4, 0, what),
      blocks: countOf(entries, 'body.', what),
    };
    const scale = 2 ** doublings / shuffle;
    const side = (name: string) => multiplyDims(shuffle, dim(name));
    return {
      architecture: what,
      scale,
      channels,
      purpose: purposeOf(scale),
      tags: [`${config.filters}nf`, `${config.blocks}nb`, ...(shuffle > 1 ? ['unshuffle'] : [])],
      picture: { minimum: 2, multiple: shuffle > 1 ? 4 : 1 },
      multiple: shuffle,
      fixedSize: false,
      weights,
      trace: () =>
        traceNetwork(
          { x: { dtype: 'float32', shape: [dim('batch'), channels, side('height'), side('width')] } },
          (p, given) => ({ out: rrdbNet(p, config, need(given, 'x')) }),
        ),
    };
  },
};
