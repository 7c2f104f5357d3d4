/** Options that say what a network runs on, and the engine they make. */

import type { Engine } from '../engine/engine.ts';
import { choice, integer, type OptionValues } from './options.ts';

export type Precision = 'float32' | 'float16';

export const engineOptions = {
  device: choice(['--device'], ['cpu', 'webgpu', 'cuda'], 'what to compute on (default: cpu)'),
  threads: integer(['--threads'], 'threads of the CPU (default: its cores)', { min: 1, max: 1024 }),
  precision: choice(
    ['--precision'],
    ['full', 'autocast', 'float32', 'float16'],
    'numbers to compute in (default: float32; autocast: float16 on a GPU)',
    { f32: 'float32', f16: 'float16' },
  ),
};

type EngineValues = OptionValues<typeof engineOptions>;

/** Starts the engine. Dispose of it. */
export async function startEngine({ device, threads }: EngineValues): Promise<Engine> {
  const { createNodeEngine } = await import('../engine/node.ts');
  return createNodeEngine({ ...(device ? { provider: device } : {}), threads });
}

/** CompVis's `full` is float32; its `autocast` computes in half precision on a GPU, and changes nothing on a CPU. */
export function precisionOf({ precision, device }: EngineValues): Precision {
  if (precision === 'autocast') return device === undefined || device === 'cpu' ? 'float32' : 'float16';
  return precision === 'float16' ? 'float16' : 'float32';
}
