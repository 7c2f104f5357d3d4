/** Options for device, threads and precision, and the engine they create. */

import { devices } from '../engine/device-names.ts';
import type { Engine } from '../engine/engine.ts';
import { type PrecisionName, precisionNames } from '../engine/precision.ts';
import type { MemoryUse } from '../model/free-networks.ts';
import type { CliContext } from './command.ts';
import { choice, flag, integer, type OptionValues } from './options.ts';

export const engineOptions = {
  device: choice(['--device'], devices, 'device to compute on; auto takes a GPU that works and says so (default: cpu)'),
  threads: integer(['--threads'], 'CPU threads (default: number of cores)', { min: 1, max: 1024 }),
  precision: choice(
    ['--precision'],
    ['full', 'autocast', ...precisionNames],
    'precision of the networks (default: float32; autocast: float16 on a GPU; int8: less time and memory on a CPU)',
    { f32: 'float32', f16: 'float16', i8: 'int8' },
  ),
};

export const memoryOptions = {
  lowMemory: flag(
    ['--low-memory'],
    'free text encoders and denoiser when they are done, and load them again when they are needed; the pictures are the same (default: if memory is short; a command that makes one run frees each when no batch is left that needs it)',
  ),
};

/** The setting `memory` of a model. */
export const memoryOf = ({ lowMemory }: { readonly lowMemory?: boolean }): { readonly memory?: MemoryUse } =>
  lowMemory ? { memory: 'low' } : {};

type EngineValues = OptionValues<typeof engineOptions>;

/** Starts the engine, and tells which device it took where that was not the caller's choice. The caller disposes of it. */
export async function startEngine(
  { device, threads }: Pick<EngineValues, 'device' | 'threads'>,
  { err }: Pick<CliContext, 'err'>,
): Promise<Engine> {
  const { createNodeEngine } = await import('../engine/node.ts');
  const { chooseDevice } = await import('../engine/devices-node.ts');
  const { provider, note } = await chooseDevice(device);
  if (note !== undefined) err.write(`${note}\n`);
  return createNodeEngine({ provider, ...(threads === undefined ? {} : { threads }) });
}

/** CompVis's `full` is float32. Its `autocast` computes in half precision on a GPU and has no effect on a CPU. */
export function precisionOf(
  { precision }: Pick<EngineValues, 'precision'>,
  { provider }: Pick<Engine, 'provider'>,
): PrecisionName {
  if (precision === 'autocast') return provider === 'cpu' || provider === 'wasm' ? 'float32' : 'float16';
  return precision === undefined || precision === 'full' ? 'float32' : precision;
}
