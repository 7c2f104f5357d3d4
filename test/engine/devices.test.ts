/** Devices: `auto`, and WebAssembly where ONNX Runtime has no native library for the machine. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { chooseDevice } from '../../src/engine/devices-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { threadError } from '../../src/engine/runtime-errors-node.ts';
import { nativeRuntimeFault } from '../../src/engine/wasm-node.ts';
import { loadModel } from '../../src/model/load-model-node.ts';
import { textToImage } from '../../src/pipelines/text-to-image.ts';

test('Intel Macs have no native library; this machine has', () => {
  assert.match(nativeRuntimeFault('darwin', 'x64') ?? '', /no native library for darwin x64$/);
  assert.equal(nativeRuntimeFault(), undefined);
});

test('an installation goes on where the script of onnxruntime-node fails, and the program then says how to get it', async () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8'));
  assert.ok('onnxruntime-node' in manifest.optionalDependencies);
  assert.ok(!('onnxruntime-node' in manifest.dependencies));
  const fault = nativeRuntimeFault(process.platform, process.arch, () => {
    throw new Error("Cannot find module 'onnxruntime-node'");
  });
  assert.match(fault ?? '', /not installed.*ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node/);
  const { provider, note } = await chooseDevice('cpu', fault);
  assert.equal(provider, 'wasm');
  assert.match(note ?? '', /ONNXRUNTIME_NODE_INSTALL=skip/);
  const error = threadError(
    Object.assign(new Error("Cannot find package 'onnxruntime-node'"), { code: 'ERR_MODULE_NOT_FOUND' }),
  );
  assert.equal(error.code, 'engine-unavailable');
  assert.match(error.message, /not installed.*--device wasm/);
});

test('without a native library WebAssembly is taken, and said; a device that is named is taken silently', async () => {
  for (const device of ['auto', 'cpu', undefined] as const) {
    const { provider, note } = await chooseDevice(device, 'darwin x64');
    assert.equal(provider, 'wasm');
    assert.match(note ?? '', /wasm.*darwin x64/);
  }
  assert.deepEqual(await chooseDevice('cpu'), { provider: 'cpu', note: undefined });
  assert.deepEqual(await chooseDevice('webgpu', 'darwin x64'), { provider: 'webgpu', note: undefined });
});

test('auto takes a device that computes, and says which', async () => {
  const { provider, note } = await chooseDevice('auto');
  assert.ok(provider === 'cpu' || provider === 'webgpu' || provider === 'cuda');
  assert.match(note ?? '', new RegExp(`^Device: ${provider}`));
});

test('WebAssembly in Node makes the picture that the native library makes', async () => {
  const made = [];
  for (const provider of ['cpu', 'wasm'] as const) {
    const model = await loadModel(undefined, { engine: createNodeEngine({ provider }), ownsEngine: true });
    const options = { prompt: 'red apple', steps: 1, width: 64, height: 64, guidanceScale: 1 };
    for await (const event of textToImage(model, options)) if (event.kind === 'result') made.push(event.images[0]);
    await model.dispose();
  }
  const [native, wasm] = made.map((picture) => picture?.image.data ?? new Uint8Array());
  assert.ok(native && wasm && native.length === wasm.length);
  const worst = native.reduce((most, value, i) => Math.max(most, Math.abs(value - (wasm[i] ?? 0))), 0);
  assert.ok(worst <= 2, `${worst} levels`);
});
