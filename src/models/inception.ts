/**
 * Inception v3 in the form that FID is measured with (Szegedy et al. 2015, arXiv:1512.00567; the network of the TensorFlow release of
 * 2015-12-05, as pytorch-fid's `FIDInceptionV3` has it): averages at borders count pixels of the picture only, and the last block takes
 * maxima. Names of parameters are torchvision's.
 */

import { dim } from '../graph/dim.ts';
import { avgPool, concat, constant, conv2d, div, linear, maxPool, mean, relu, slice } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Params, Sym } from '../graph/trace.ts';
import { batchNormFixed } from '../nn/batch-norm.ts';
import { fixedSize } from '../nn/fixed-size.ts';
import { float32, elementCount } from '../tensor/tensor.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/** Side of the pictures it takes. */
export const inceptionSide = 299;

/** Height and width of a kernel, or of a square one. */
type Kernel = number | readonly [height: number, width: number];

interface ConvOptions {
  readonly stride?: number;
  /** Keep the size, as most do. Default true. */
  readonly same?: boolean;
}

/** Convolution without bias, batch norm, ReLU (`BasicConv2d`). */
function conv(p: Params, x: Sym, out: number, kernel: Kernel, { stride = 1, same = true }: ConvOptions = {}): Sym {
  const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel;
  const [top, left] = same ? [height >> 1, width >> 1] : [0, 0];
  const y = conv2d(x, p.at('conv').get('weight', [out, fixedSize(x, 1), height, width]), undefined, {
    stride,
    padding: [top, left, top, left],
  });
  const norm = p.at('bn');
  const running = { mean: norm.get('running_mean', [out]), variance: norm.get('running_var', [out]) };
  return relu(batchNormFixed(y, running, norm.get('weight', [out]), norm.get('bias', [out]), 0.001));
}

const strided: ConvOptions = { stride: 2, same: false };

/** Mean of the pixels of the picture in each window of 3x3. */
function averaged(x: Sym): Sym {
  const window = { kernel: 3, stride: 1, padding: 1 };
  const shape = [1, 1, fixedSize(x, 2), fixedSize(x, 3)];
  const ones = constant(x, float32(shape, new Float32Array(elementCount(shape)).fill(1)));
  return div(avgPool(x, window), avgPool(ones, window));
}

/** Convolutions one after the other: name, channels, kernel. */
function chain(
  p: Params,
  x: Sym,
  layers: readonly (readonly [name: string, out: number, kernel: Kernel, options?: ConvOptions])[],
): Sym {
  return layers.reduce((y, [name, out, kernel, options]) => conv(p.at(name), y, out, kernel, options), x);
}

function blockA(p: Params, x: Sym, pooled: number): Sym {
  return concat(
    [
      chain(p, x, [['branch1x1', 64, 1]]),
      chain(p, x, [
        ['branch5x5_1', 48, 1],
        ['branch5x5_2', 64, 5],
      ]),
      chain(p, x, [
        ['branch3x3dbl_1', 64, 1],
        ['branch3x3dbl_2', 96, 3],
        ['branch3x3dbl_3', 96, 3],
      ]),
      chain(p, averaged(x), [['branch_pool', pooled, 1]]),
    ],
    1,
  );
}

function blockB(p: Params, x: Sym): Sym {
  return concat(
    [
      chain(p, x, [['branch3x3', 384, 3, strided]]),
      chain(p, x, [
        ['branch3x3dbl_1', 64, 1],
        ['branch3x3dbl_2', 96, 3],
        ['branch3x3dbl_3', 96, 3, strided],
      ]),
      maxPool(x, { kernel: 3, stride: 2 }),
    ],
    1,
  );
}

function blockC(p: Params, x: Sym, inner: number): Sym {
  const [row, column] = [
    [1, 7],
    [7, 1],
  ] as const;
  return concat(
    [
      chain(p, x, [['branch1x1', 192, 1]]),
      chain(p, x, [
        ['branch7x7_1', inner, 1],
        ['branch7x7_2', inner, row],
        ['branch7x7_3', 192, column],
      ]),
      chain(p, x, [
        ['branch7x7dbl_1', inner, 1],
        ['branch7x7dbl_2', inner, column],
        ['branch7x7dbl_3', inner, row],
        ['branch7x7dbl_4', inner, column],
        ['branch7x7dbl_5', 192, row],
      ]),
      chain(p, averaged(x), [['branch_pool', 192, 1]]),
    ],
    1,
  );
}

function blockD(p: Params, x: Sym): Sym {
  return concat(
    [
      chain(p, x, [
        ['branch3x3_1', 192, 1],
        ['branch3x3_2', 320, 3, strided],
      ]),
      chain(p, x, [
        ['branch7x7x3_1', 192, 1],
        ['branch7x7x3_2', 192, [1, 7]],
        ['branch7x7x3_3', 192, [7, 1]],
        ['branch7x7x3_4', 192, 3, strided],
      ]),
      maxPool(x, { kernel: 3, stride: 2 }),
    ],
    1,
  );
}

function blockE(p: Params, x: Sym, pooled: Sym): Sym {
  const both = (y: Sym, first: string, second: string): readonly Sym[] => [
    conv(p.at(first), y, 384, [1, 3]),
    conv(p.at(second), y, 384, [3, 1]),
  ];
  return concat(
    [
      chain(p, x, [['branch1x1', 320, 1]]),
      ...both(chain(p, x, [['branch3x3_1', 384, 1]]), 'branch3x3_2a', 'branch3x3_2b'),
      ...both(
        chain(p, x, [
          ['branch3x3dbl_1', 448, 1],
          ['branch3x3dbl_2', 384, 3],
        ]),
        'branch3x3dbl_3a',
        'branch3x3dbl_3b',
      ),
      chain(p, pooled, [['branch_pool', 192, 1]]),
    ],
    1,
  );
}

/** Channels of `mixed_6/conv`, the first branch of Mixed_6d, that sFID compares. */
const spatialChannels = 7;

/** image [b, 3, 299, 299] in [-1, 1] → features [b, 2048], those of FID's `pool3`, and spatial [b, 7, 17, 17]. */
function inceptionFeatures(p: Params, image: Sym): { readonly features: Sym; readonly spatial: Sym } {
  let spatial = image;
  let x = chain(p, image, [
    ['Conv2d_1a_3x3', 32, 3, strided],
    ['Conv2d_2a_3x3', 32, 3, { same: false }],
    ['Conv2d_2b_3x3', 64, 3],
  ]);
  x = maxPool(x, { kernel: 3, stride: 2 });
  x = chain(p, x, [
    ['Conv2d_3b_1x1', 80, 1],
    ['Conv2d_4a_3x3', 192, 3, { same: false }],
  ]);
  x = maxPool(x, { kernel: 3, stride: 2 });
  for (const [name, pooled] of [
    ['Mixed_5b', 32],
    ['Mixed_5c', 64],
    ['Mixed_5d', 64],
  ] as const)
    x = blockA(p.at(name), x, pooled);
  x = blockB(p.at('Mixed_6a'), x);
  for (const [name, inner] of [
    ['Mixed_6b', 128],
    ['Mixed_6c', 160],
    ['Mixed_6d', 160],
    ['Mixed_6e', 192],
  ] as const) {
    x = blockC(p.at(name), x, inner);
    if (name === 'Mixed_6d') spatial = slice(x, 1, 0, spatialChannels);
  }
  x = blockD(p.at('Mixed_7a'), x);
  x = blockE(p.at('Mixed_7b'), x, averaged(x));
  x = blockE(p.at('Mixed_7c'), x, maxPool(x, { kernel: 3, stride: 1, padding: 1 }));
  return { features: mean(x, [2, 3]), spatial };
}

export interface InceptionConfig {
  /** Rows of `fc.weight`: 1008 of the network of FID; 0 where the file has no classifier. */
  readonly classes: number;
  /** Gives the maps of sFID too. Default false. */
  readonly spatial?: boolean;
}

/** image [batch, 3, 299, 299] in [-1, 1] → features [batch, 2048] and, with classes, logits [batch, classes] without bias, as the inception score has them; spatial [batch, 7, 17, 17]. */
export function traceInception(
  { classes, spatial: wantsSpatial = false }: InceptionConfig,
  options?: NetworkTraceOptions,
): Graph {
  return traceNetwork(
    { image: { dtype: 'float32', shape: [dim('batch'), 3, inceptionSide, inceptionSide] } },
    (p, given) => {
      const { features, spatial } = inceptionFeatures(p, need(given, 'image'));
      return {
        features,
        ...(wantsSpatial ? { spatial } : {}),
        ...(classes > 0 ? { logits: linear(features, p.at('fc').get('weight', [classes, 2048])) } : {}),
      };
    },
    options,
  );
}
