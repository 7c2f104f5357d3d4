/** `auto`: the fastest device of this machine that ONNX Runtime can use, found by trying it on a small graph. */

import { existsSync, readdirSync } from 'node:fs';
import { StableDiffusionError } from '../errors.ts';
import { silu } from '../graph/functions.ts';
import { trace } from '../graph/trace.ts';
import { float32 } from '../tensor/tensor.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { type Device, devices } from './device-names.ts';
import type { Provider } from './engine.ts';
import { createNodeEngine } from './node.ts';
import { nativeRuntimeFault } from './wasm-node.ts';

/** A device, and the words that say why it was taken. */
export interface ChosenDevice {
  readonly provider: Provider;
  /** Undefined where the caller named the device and has it. */
  readonly note: string | undefined;
}

const noWeights: WeightSource = {
  label: 'a graph without weights',
  entries: new Map(),
  read: (name) => Promise.reject(new Error(`no tensor ${name}`)),
  close: async () => {},
};

/** Linux offers WebGPU on the CPU too, by a Vulkan driver in software, which is slower than the CPU by itself. */
function hasGraphicsCard(): boolean {
  if (process.platform !== 'linux') return true;
  const cards = existsSync('/dev/dri') ? readdirSync('/dev/dri') : [];
  return cards.some((name) => name.startsWith('render')) || existsSync('/dev/nvidiactl') || existsSync('/dev/dxg');
}

const hasNvidia = (): boolean =>
  process.platform !== 'darwin' &&
  (existsSync('/dev/nvidiactl') || existsSync('/dev/dxg') || process.platform === 'win32');

/** Whether a provider computes, on a graph of one operation. */
async function computes(provider: 'webgpu' | 'cuda'): Promise<boolean> {
  const engine = createNodeEngine({ provider });
  try {
    const graph = trace({ x: { dtype: 'float32', shape: [4] } }, ({ x }) => ({ y: silu(x) }));
    const program = await engine.compile(graph, noWeights);
    const { y } = await program.run({ x: float32([4], [0, 1, 2, 3]) });
    return Math.abs(Number(y?.data[1]) - 0.731059) < 1e-3;
  } catch {
    return false;
  } finally {
    await engine.dispose();
  }
}

/** The provider of a named device. A device that is missing says so when it is used. Throws `invalid-argument` for an unknown name. */
export async function chooseDevice(device: Device = 'cpu', fault = nativeRuntimeFault()): Promise<ChosenDevice> {
  if (!devices.includes(device))
    throw new StableDiffusionError(
      'invalid-argument',
      `Unknown device ${JSON.stringify(device)}. Available: ${devices.join(', ')}.`,
    );
  if (fault !== undefined && (device === 'auto' || device === 'cpu'))
    return {
      provider: 'wasm',
      note: `Device: wasm, which takes several times as long as the native library (${fault})`,
    };
  if (device !== 'auto') return { provider: device, note: undefined };
  if (hasNvidia() && (await computes('cuda'))) return { provider: 'cuda', note: 'Device: cuda' };
  if (!hasGraphicsCard()) return { provider: 'cpu', note: 'Device: cpu (no graphics card was found)' };
  if (await computes('webgpu')) return { provider: 'webgpu', note: 'Device: webgpu' };
  return { provider: 'cpu', note: 'Device: cpu (neither CUDA nor WebGPU works on this machine)' };
}
