/** Adds a control network's outputs to the UNet's skip connections and middle (Zhang et al. 2023, arXiv 2302.05543). */

import type { UNetConfig } from '../config/network-config.ts';
import { dim } from '../graph/dim.ts';
import { add } from '../graph/functions.ts';
import type { InputSpec, Sym } from '../graph/trace.ts';
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
