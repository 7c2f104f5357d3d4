/** Adds a control network's outputs to the UNet's skip connections and middle (Zhang et al. 2023, arXiv 2302.05543). */

import type { UNetConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add } from '../graph/functions.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
import { scale } from '../tensor/arithmetic.ts';
import type { NetworkInputs } from '../tensor/batches.ts';
import { expectDType } from '../tensor/tensor.ts';
import type { Extension } from './extension.ts';

type SkipShape = readonly [channels: number, halvings: number];

/** Channels and halvings of each skip connection, in the order of `input_blocks`. */
function skipShapes({ channel_mult, model_channels, num_res_blocks }: UNetConfig): SkipShape[] {
  const width = (level: number): number => (channel_mult[level] ?? 1) * model_channels;
  return [
    [width(0), 0],
    ...channel_mult.flatMap((_, level) => {
      const count = typeof num_res_blocks === 'number' ? num_res_blocks : (num_res_blocks[level] ?? 0);
      const own = Array.from({ length: count }, () => [width(level), level] as const);
      return level === channel_mult.length - 1 ? own : [...own, [width(level), level + 1] as const];
    }),
  ];
}

/** Inputs `control.0` …, `control.middle`: float32 of the shapes of what they are added to. */
export const control: Extension = {
  name: 'control',
  inputs(config, sides) {
    const input = ([channels, halvings]: SkipShape): InputSpec => ({
      dtype: 'float32',
      shape: [dim('batch'), channels, ...sides(halvings)],
    });
    const shapes = skipShapes(config);
    return {
      ...Object.fromEntries(shapes.map((shape, i) => [`control.${i}`, input(shape)])),
      'control.middle': input(shapes.at(-1) ?? [1, 0]),
    };
  },
  hooks: (_, given) => ({
    skip: (h, index) => add(h, given[`control.${index}`] as Sym),
    middle: (h) => add(h, given['control.middle'] as Sym),
  }),
};

/**
 * A control network's outputs with a strength: one factor for all, or `guess`, which weakens them from the deepest (1) to the first (0.1),
 * for pictures without a prompt.
 */
export function scaledControl(outputs: NetworkInputs, strength: number | 'guess'): NetworkInputs {
  const names = Object.keys(outputs).filter((name) => name.startsWith('control.'));
  const order = names
    .filter((name) => name !== 'control.middle')
    .sort((a, b) => Number(a.slice(8)) - Number(b.slice(8)))
    .concat('control.middle');
  return Object.fromEntries(
    order.map((name, i) => {
      const factor = strength === 'guess' ? 10 ** (i / Math.max(1, order.length - 1) - 1) : strength;
      const value = outputs[name];
      return [name, value && scale(expectDType(value, 'float32', name), Math.fround(factor))];
    }),
  ) as NetworkInputs;
}
