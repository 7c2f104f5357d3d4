/**
 * GLIGEN's position network (Li et al. 2023, arXiv 2301.07093): the embedding of a phrase and the Fourier features of its box become an
 * object, which the UNet's gated self-attentions see (`extensions/grounding.ts`).
 */

import type { GligenConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add, concat, mul, reshape, silu, sub } from '../graph/functions.ts';
import type { Graph } from '../graph/graph.ts';
import type { Sym } from '../graph/trace.ts';
import { linearLayer } from '../nn/linear.ts';
import { need, type NetworkTraceOptions, traceNetwork } from './trace-network.ts';

/**
 * phrases [batch, objects, context_dim], boxes [batch, objects, position_dim], used [batch, objects, 1] → objects [batch, objects,
 * context_dim]. Where `used` is 0 the learned features of no object take the place of both.
 */
export function traceGligen(config: GligenConfig, options?: NetworkTraceOptions): Graph {
  const { context_dim, position_dim, width } = config;
  const shape = (last: number) => [dim('batch'), dim('objects'), last];
  return traceNetwork(
    {
      phrases: { dtype: 'float32', shape: shape(context_dim) },
      boxes: { dtype: 'float32', shape: shape(position_dim) },
      used: { dtype: 'float32', shape: shape(1) },
    },
    (p, given) => {
      const [phrases, boxes, used] = [need(given, 'phrases'), need(given, 'boxes'), need(given, 'used')];
      const orNone = (value: Sym, name: string, size: number): Sym => {
        const none = reshape(p.at('position_net').get(name, [size]), [1, 1, size]);
        return add(none, mul(used, sub(value, none)));
      };
      const joint = concat(
        [orNone(phrases, 'null_positive_feature', context_dim), orNone(boxes, 'null_position_feature', position_dim)],
        2,
      );
      const layers = p.at('position_net.linears');
      const inner = silu(linearLayer(layers.at(2), silu(linearLayer(layers.at(0), joint, width)), width));
      return { objects: linearLayer(layers.at(4), inner, context_dim) };
    },
    options,
  );
}

/** The sides of a box as shares of the picture: left, top, right, bottom. */
export type ObjectBox = readonly [left: number, top: number, right: number, bottom: number];

/** Fourier features of a box, eight frequencies from 1 to below 100: for each the sines of the four sides, then the cosines. */
export function boxFeatures(box: ObjectBox, frequencies = 8): Float32Array {
  const features: number[] = [];
  for (let i = 0; i < frequencies; i++) {
    const angles = box.map((side) => Math.fround(Math.fround(100 ** (i / frequencies)) * Math.fround(side)));
    features.push(...angles.map(Math.sin), ...angles.map(Math.cos));
  }
  return Float32Array.from(features);
}
