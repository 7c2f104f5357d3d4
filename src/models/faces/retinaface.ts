/**
 * RetinaFace (Deng et al. 2019, arXiv 1905.00641) over a ResNet-50, with boxes and five landmarks of faces: `detection_Resnet50_Final.pth` of
 * facexlib.
 */

import { add, concat, leakyRelu, maxPool, pad, relu, reshape, softmax, transpose } from '../../graph/functions.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import { axis, countOf, type Entries } from '../../checkpoints/infer/shapes.ts';
import { convLayer } from '../../nn/conv.ts';
import { fixedSize } from '../../nn/fixed-size.ts';
import { nearestMatrix, resizeBy } from '../../nn/resize-matrix.ts';
import { withNames } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';
import type { FaceDetectorNetwork } from './face-network.ts';
import { norm } from './fixed-norm.ts';

interface RetinaFaceConfig {
  /** Channels after the first convolution, and of the feature pyramid. */
  readonly stem: number;
  readonly pyramid: number;
  /** Bottlenecks of the four layers. */
  readonly depths: readonly number[];
}

const title = 'RetinaFace';

interface ConvShape {
  readonly out: number;
  readonly kernel: number;
  readonly stride?: number;
}

/** Convolution and batch norm, in the places 0 and 1 of a sequence or under names of their own. */
function convNorm(conv: Params, bn: Params, x: Sym, { out, kernel, stride = 1 }: ConvShape): Sym {
  return norm(bn, convLayer(conv, x, out, { kernel, stride, padding: kernel >> 1, bias: false }));
}

function bottleneck(p: Params, x: Sym, planes: number, stride: number): Sym {
  return p.module(() => {
    const part = (i: number, input: Sym, shape: ConvShape): Sym =>
      convNorm(p.at(`conv${i}`), p.at(`bn${i}`), input, shape);
    const narrow = relu(part(1, x, { out: planes, kernel: 1 }));
    const inner = relu(part(2, narrow, { out: planes, kernel: 3, stride }));
    const wide = part(3, inner, { out: 4 * planes, kernel: 1 });
    const changes = stride !== 1 || fixedSize(x, 1) !== 4 * planes;
    const down = p.at('downsample');
    return relu(add(wide, changes ? convNorm(down.at(0), down.at(1), x, { out: 4 * planes, kernel: 1, stride }) : x));
  });
}

/** Outputs of the layers 2, 3 and 4: an eighth, a sixteenth and a thirty-second of the sides. */
function body(p: Params, x: Sym, { stem, depths }: RetinaFaceConfig): Sym[] {
  const first = relu(convNorm(p.at('conv1'), p.at('bn1'), x, { out: stem, kernel: 7, stride: 2 }));
  let h = maxPool(pad(first, [0, 0, 1, 1], [0, 0, 1, 1]), { kernel: 3, stride: 2 });
  const outputs = depths.map((depth, layer) => {
    for (let i = 0; i < depth; i++)
      h = bottleneck(p.at(`layer${layer + 1}`).at(i), h, stem * 2 ** layer, i === 0 && layer > 0 ? 2 : 1);
    return h;
  });
  return outputs.slice(1);
}

/** A sequence of convolution, batch norm and leaky ReLU. */
function layer(p: Params, x: Sym, out: number, kernel: number, slope: number | undefined): Sym {
  const h = convNorm(p.at(0), p.at(1), x, { out, kernel });
  return slope === undefined ? h : slope === 0 ? relu(h) : leakyRelu(h, slope);
}

function nearestLike(x: Sym, like: Sym): Sym {
  const along = (of: number) => nearestMatrix(fixedSize(x, of), fixedSize(like, of));
  return resizeBy(x, along(2), along(3));
}

function pyramid(p: Params, levels: readonly Sym[], out: number, slope: number): Sym[] {
  const [fine, middle, coarse] = levels.map((x, i) => layer(p.at(`output${i + 1}`), x, out, 1, slope)) as [
    Sym,
    Sym,
    Sym,
  ];
  const second = layer(p.at('merge2'), add(middle, nearestLike(coarse, middle)), out, 3, slope);
  const first = layer(p.at('merge1'), add(fine, nearestLike(second, fine)), out, 3, slope);
  return [first, second, coarse];
}

/** `SSH`: three reaches side by side. */
function contexts(p: Params, x: Sym, out: number, slope: number): Sym {
  const near = layer(p.at('conv3X3'), x, out / 2, 3, undefined);
  const start = layer(p.at('conv5X5_1'), x, out / 4, 3, slope);
  const far = layer(p.at('conv5X5_2'), start, out / 4, 3, undefined);
  const farther = layer(p.at('conv7X7_2'), start, out / 4, 3, slope);
  return relu(concat([near, far, layer(p.at('conv7x7_3'), farther, out / 4, 3, undefined)], 1));
}

/** Two priors for each place: [1, 2 · h · w, values]. */
function head(p: Params, x: Sym, values: number): Sym {
  const made = transpose(convLayer(p.at('conv1x1'), x, 2 * values, { kernel: 1 }), [0, 2, 3, 1]);
  return reshape(made, [1, 2 * fixedSize(x, 2) * fixedSize(x, 3), values]);
}

/** x [1, 3, h, w], blue first, less the mean → `boxes` [1, n, 4], `scores` [1, n, 2], `landmarks` [1, n, 10], the finest level first. */
function retinaFace(p: Params, x: Sym, config: RetinaFaceConfig): Record<string, Sym> {
  const { pyramid: out } = config;
  const slope = out <= 64 ? 0.1 : 0;
  const levels = pyramid(p.at('fpn'), body(p.at('body'), x, config), out, slope);
  const features = levels.map((level, i) => contexts(p.at(`ssh${i + 1}`), level, out, slope));
  const all = (name: string, values: number): Sym =>
    concat(
      features.map((feature, i) => head(p.at(name).at(i), feature, values)),
      1,
    );
  return {
    boxes: all('BboxHead', 4),
    scores: softmax(all('ClassHead', 2), -1),
    landmarks: all('LandmarkHead', 10),
  };
}

const bareName = (name: string): string => name.replace(/^module\./, '');

export function isRetinaFace(entries: Entries): boolean {
  const has = (name: string): boolean => entries.has(name) || entries.has(`module.${name}`);
  return has('LandmarkHead.2.conv1x1.weight') && has('body.layer4.0.conv3.weight');
}

/** Sizes from shapes. */
export function readRetinaFace(source: WeightSource): FaceDetectorNetwork {
  const weights = withNames(source, bareName);
  const { entries } = weights;
  const config: RetinaFaceConfig = {
    stem: axis(entries, 'body.conv1.weight', 4, 0, title),
    pyramid: axis(entries, 'fpn.output1.0.weight', 4, 0, title),
    depths: [1, 2, 3, 4].map((index) => countOf(entries, `body.layer${index}.`, title)),
  };
  return {
    kind: 'detector',
    title,
    weights,
    trace: ([height, width]) =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, height, width] } }, (p, given) =>
        retinaFace(p, need(given, 'x'), config),
      ),
  };
}
