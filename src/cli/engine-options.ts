/** Options for device, threads and precision, and the engine they create. */

import type { Engine } from '../engine/engine.ts';
import { type PrecisionName, precisionNames } from '../engine/precision.ts';
import { choice, integer, type OptionValues } from './options.ts';

export const engineOptions = {
  device: choice(['--device'], ['cpu', 'webgpu', 'cuda'], 'device to compute on (default: cpu)'),
  threads: integer(['--threads'], 'CPU threads (default: number of cores)', { min: 1, max: 1024 }),
  precision: choice(
    ['--precision'],
    ['full', 'autocast', ...precisionNames],
    'precision of the networks (default: float32; autocast: float16 on a GPU; int8: less time and memory on a CPU)',
    { f32: 'float32', f16: 'float16', i8: 'int8' },
  ),
};

type EngineValues = OptionValues<typeof engineOptions>;

/** Starts the engine. The caller disposes of it. */
export async function startEngine({ device, threads }: EngineValues): Promise<Engine> {
  const { createNodeEngine } = await import('../engine/node.ts');
  return createNodeEngine({ ...(device ? { provider: device } : {}), threads });
}

/** CompVis's `full` is float32. Its `autocast` computes in half precision on a GPU and has no effect on a CPU. */
export function precisionOf({ precision, device }: EngineValues): PrecisionName {
  if (precision === 'autocast') return device === undefined || device === 'cpu' ? 'float32' : 'float16';
  return precision === undefined || precision === 'full' ? 'float32' : precision;
}
