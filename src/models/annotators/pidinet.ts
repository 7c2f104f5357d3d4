/**
 * PiDiNet soft edges (Su et al. 2021, "Pixel Difference Networks for Efficient Edge Detection"), arrangement `carv4` with dilations and
 * attention: `table5_pidinet.pth`. A pixel difference convolution is a plain one whose kernel is a linear function of its weights.
 */

import { add, concat, constant, conv2d, matmul, maxPool, mul, relu, reshape, sigmoid } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { bilinearMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { float32 } from '../../tensor/tensor.ts';
import { withNames } from '../../weights/view.ts';
import type { WeightEntry, WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { AnnotatorArchitecture, AnnotatorNetwork } from './annotator.ts';
import { dilatedConv } from './layers.ts';

interface PidinetConfig {
  readonly width: number;
  readonly dilated: number;
  /** The file holds plain kernels: its difference convolutions were converted. */
  readonly isPlain: boolean;
}

/** Central, angular and radial differences, and a plain convolution, in turn. */
const kinds = ['central', 'angular', 'radial', 'plain'] as const;
type Kind = (typeof kinds)[number];

/** Kernel positions whose weight is taken away at each position: the neighbour along the circle. */
const neighbours = [3, 0, 1, 6, 4, 2, 7, 8, 5];
/** Positions of a 5x5 kernel: the outer ring for the weights 1 to 8, and the inner ring. */
const outer = [0, 2, 4, 10, 14, 20, 22, 24];
const inner = [6, 7, 8, 11, 13, 16, 17, 18];

/** The kernel of a kind of convolution, [9, 9] or [9, 25]: row, the weight; column, the position. */
function kernelMatrix(kind: Exclude<Kind, 'plain'>): { readonly side: number; readonly rows: number[][] } {
  const side = kind === 'radial' ? 5 : 3;
  const rows = Array.from({ length: 9 }, () => new Array<number>(side * side).fill(0));
  const put = (weight: number, position: number, value: number): void => {
    const row = rows[weight] as number[];
    row[position] = (row[position] ?? 0) + value;
  };
  for (let i = 0; i < 9; i++) {
    if (kind !== 'radial') put(i, i, 1);
    if (kind === 'central') put(i, 4, -1);
    if (kind === 'angular') put(neighbours[i] as number, i, -1);
    if (kind === 'radial' && i > 0) {
      put(i, outer[i - 1] as number, 1);
      put(i, inner[i - 1] as number, -1);
    }
  }
  return { side, rows };
}

/** A difference convolution: parameter `weight` [out, in / groups, 3, 3], no bias. */
function differenceConv(p: Params, x: Sym, out: number, kind: Kind, groups: number, isPlain: boolean): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1) / groups;
    if (kind === 'plain' || isPlain) {
      const side = kind === 'radial' ? 5 : 3;
      return conv2d(x, p.get('weight', [out, channels, side, side]), undefined, { padding: side >> 1, groups });
    }
    const { side, rows } = kernelMatrix(kind);
    const matrix = constant(x, float32([9, side * side], rows.flat()));
    const flat = reshape(p.get('weight', [out, channels, 3, 3]), [out * channels, 9]);
    const kernel = reshape(matmul(flat, matrix), [out, channels, side, side]);
    return conv2d(x, kernel, undefined, { padding: side >> 1, groups });
  });
}

/** `PDCBlock`: a depthwise difference convolution and a pointwise one beside a shortcut; `halves` the image first. */
function block(p: Params, x: Sym, out: number, kind: Kind, halves: boolean, { isPlain }: PidinetConfig): Sym {
  return p.module(() => {
    const channels = fixedSize(x, 1);
    const h = halves ? maxPool(x, { kernel: 2 }) : x;
    const differences = relu(differenceConv(p.at('conv1'), h, channels, kind, channels, isPlain));
    const y = convLayer(p.at('conv2'), differences, out, { kernel: 1, bias: false });
    return add(y, halves ? convLayer(p.at('shortcut'), h, out, { kernel: 1 }) : h);
  });
}

/** `CDCM` and `CSAM`: four dilations added up, and where they count; then one channel. */
function sideMap(p: Params, x: Sym, index: number, { dilated }: PidinetConfig): Sym {
  const scope = p.at('dilations').at(index);
  const narrow = convLayer(scope.at('conv1'), relu(x), dilated, { kernel: 1 });
  const [first, ...rest] = [5, 7, 9, 11].map((dilation, i) =>
    dilatedConv(scope.at(`conv2_${i + 1}`), narrow, dilated, dilation, { bias: false }),
  ) as [Sym, ...Sym[]];
  const sum = rest.reduce((all, one) => add(all, one), first);
  const attention = p.at('attentions').at(index);
  const looked = convLayer(attention.at('conv1'), relu(sum), 4, { kernel: 1 });
  const share = sigmoid(convLayer(attention.at('conv2'), looked, 1, { kernel: 3, bias: false }));
  return convLayer(p.at('conv_reduces').at(index).at('conv'), mul(sum, share), 1, { kernel: 1 });
}

/** x [1, 3, h, w] in [0, 1], blue first → `edge` [1, 1, h, w] in [0, 1]. */
function pidinetNet(p: Params, x: Sym, config: PidinetConfig): Sym {
  const [height, width] = [fixedSize(x, 2), fixedSize(x, 3)];
  let layer = 0;
  const kind = (): Kind => kinds[layer++ % kinds.length] as Kind;
  let h = differenceConv(p.at('init_block'), x, config.width, kind(), 1, config.isPlain);
  const sides: Sym[] = [];
  for (const [i, factor] of [1, 2, 4, 4].entries()) {
    for (let part = 1; part <= (i === 0 ? 3 : 4); part++)
      h = block(p.at(`block${i + 1}_${part}`), h, factor * config.width, kind(), i > 0 && part === 1, config);
    const side = sideMap(p, h, i, config);
    sides.push(resizeBy(side, bilinearMatrix(fixedSize(side, 2), height), bilinearMatrix(fixedSize(side, 3), width)));
  }
  return sigmoid(convLayer(p.at('classifier'), concat(sides, 1), 1, { kernel: 1 }));
}

const prefix = 'module.';
const withoutPrefix = (name: string): string => (name.startsWith(prefix) ? name.slice(prefix.length) : name);

function read(source: WeightSource): AnnotatorNetwork {
  const weights = withNames(source, withoutPrefix);
  const { entries } = weights;
  const config: PidinetConfig = {
    width: axis(entries, 'init_block.weight', 4, 0, 'PiDiNet'),
    dilated: axis(entries, 'dilations.0.conv1.weight', 4, 0, 'PiDiNet'),
    isPlain: axis(entries, 'block1_2.conv1.weight', 4, 2, 'PiDiNet') === 5,
  };
  return {
    kind: 'pidinet',
    title: 'PiDiNet',
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) => ({
        edge: pidinetNet(p, need(given, 'x'), config),
      })),
  };
}

function matches(entries: ReadonlyMap<string, WeightEntry>): boolean {
  const has = (name: string): boolean => entries.has(name) || entries.has(prefix + name);
  return has('block1_2.conv1.weight') && has('dilations.3.conv2_4.weight') && has('attentions.3.conv2.weight');
}

export const pidinet: AnnotatorArchitecture = {
  kind: 'pidinet',
  title: 'PiDiNet',
  file: 'table5_pidinet.pth',
  matches,
  read,
};
