/** The conformance suite on onnxruntime-node's WebGPU provider, through the software driver that comes with Debian's chromium. */

import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { checks } from './conformance.ts';

const driver = '/usr/lib/chromium/vk_swiftshader_icd.json';
const loaders = [
  '/usr/lib/x86_64-linux-gnu/libvulkan.so.1',
  '/usr/lib/aarch64-linux-gnu/libvulkan.so.1',
  '/usr/lib64/libvulkan.so.1',
];
const skip =
  process.platform !== 'linux' || process.arch !== 'x64'
    ? 'WebGPU is tried on Linux x64 only'
    : !existsSync(driver)
      ? "Debian's chromium with its software Vulkan driver is not here"
      : !loaders.some((path) => existsSync(path))
        ? 'the Vulkan loader (libvulkan1) is not here'
        : false;

if (!skip) process.env['VK_ICD_FILENAMES'] = driver;

// One device for all: starting one, and compiling shaders, takes seconds in software.
const engine = createNodeEngine({ provider: 'webgpu' });
after(() => engine.dispose());

// float16 is left out: the software driver has no 16-bit shader arithmetic.
for (const check of checks) test(`node engine on WebGPU: ${check.name}`, { skip }, () => check.run(engine));
