/** A network that finds, restores or parses faces, as read from its published file. */

import type { Graph } from '../../graph/graph.ts';
import type { Params, Sym } from '../../graph/trace.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { need, traceNetwork } from '../trace-network.ts';

/** Finds faces. */
export interface FaceDetectorNetwork {
  readonly kind: 'detector';
  readonly title: string;
  readonly weights: WeightSource;
  /** The graph for pictures of a size: `x` [1, 3, h, w], blue first, 0 to 255 less the mean → `boxes`, `scores`, `landmarks` for each prior. */
  readonly trace: (size: readonly [height: number, width: number]) => Graph;
}

/** Restores aligned faces. */
export interface FaceRestorerNetwork {
  readonly kind: 'restorer';
  readonly title: string;
  readonly weights: WeightSource;
  /** Side of the square that it takes, pixels. */
  readonly side: number;
  /** Whether its graph has the input `w`. */
  readonly takesWeight: boolean;
  /** `x` [1, 3, side, side] in [-1, 1], and perhaps `w` [1]: how far it follows the given face, 0 to 1 → `out` as `x`. */
  readonly trace: () => Graph;
}

/** Says which part of a face each pixel is. */
export interface FaceParserNetwork {
  readonly kind: 'parser';
  readonly title: string;
  readonly weights: WeightSource;
  /** The graph for pictures of a size: `x` [1, 3, h, w] in [-1, 1] → `classes` [1, 19, h, w], the largest the pixel's. */
  readonly trace: (size: readonly [height: number, width: number]) => Graph;
}

export type FaceNetwork = FaceDetectorNetwork | FaceRestorerNetwork | FaceParserNetwork;

/** A restorer whose only input is the face. */
export function faceRestorer(
  { title, weights, side }: Pick<FaceRestorerNetwork, 'title' | 'weights' | 'side'>,
  network: (p: Params, x: Sym) => Sym,
): FaceRestorerNetwork {
  return {
    kind: 'restorer',
    title,
    weights,
    side,
    takesWeight: false,
    trace: () =>
      traceNetwork({ x: { dtype: 'float32', shape: [1, 3, side, side] } }, (p, given) => ({
        out: network(p, need(given, 'x')),
      })),
  };
}
