/** Every network of the reference set: all outputs and intermediate tensors, within each tensor's tolerance. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseModelConfig } from '../../src/config/model-config.ts';
import { networkConfigSchema, type NetworkConfig } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { forward } from '../../src/model/forward.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { detectNetwork } from '../../src/checkpoints/detect.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { generateWeights } from '../generated-weights.ts';
import { compareTensor } from '../parity.ts';
import { reference, skipUnless } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

interface Case {
  readonly name: string;
  readonly exercises: string;
  readonly reference: string;
  readonly outputs: Readonly<Record<string, { readonly atol?: number }>>;
  readonly inputs_from?: string;
}

/** Cases that are not one network's forward pass: test/extensions and test/adapters have them. */
const elsewhere = /^(controlnet|t2i_adapter|ip_adapter|lora_|textual_inversion)/;

const index: { readonly cases: readonly Case[] } = JSON.parse(readFileSync(reference('networks/index.json'), 'utf8'));
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

/** The case's configuration, or what its weights say. */
function readConfig(folder: string, weights: ReadonlyMap<string, Tensor>): NetworkConfig {
  const path = ['config.yaml', 'config.json'].map((name) => join(folder, name)).find(existsSync);
  return path === undefined
    ? detectNetwork(memoryWeights(weights)).config
    : networkConfigSchema.parse(parseModelConfig(readFileSync(path, 'utf8'), path));
}

/** What is recorded of a large tensor: mean, standard deviation (unbiased), largest absolute value, first, middle and last element. */
function digest({ data }: Tensor): Tensor {
  const values = Array.from(data, Number);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  const largest = values.reduce((found, value) => Math.max(found, Math.abs(value)), 0);
  return float32(
    [6],
    [mean, Math.sqrt(variance), largest, values[0] ?? 0, values[values.length >> 1] ?? 0, values.at(-1) ?? 0],
  );
}

for (const { name, exercises, reference: original, outputs, inputs_from } of index.cases) {
  if (elsewhere.test(name)) continue;
  test(`${name}: ${exercises}`, { skip: skipUnless(`networks/${name}`) }, async () => {
    const folder = reference(`networks/${name}`);
    const weights = existsSync(join(folder, 'weights.json'))
      ? generateWeights(join(folder, 'weights.json'))
      : readTensors(join(folder, 'weights.safetensors'));
    const inputs = readTensors(
      inputs_from ? reference(join('networks', name, inputs_from)) : join(folder, 'inputs.safetensors'),
    );
    const wanted = readTensors(join(folder, 'outputs.safetensors'));
    const taps = Object.keys(outputs).flatMap((output) => /^(?:intermediate|digest)\.(.*)$/.exec(output)?.[1] ?? []);
    const got = await forward({
      engine,
      config: readConfig(folder, weights),
      weights: memoryWeights(weights),
      inputs,
      taps,
    });
    for (const output of Object.keys(outputs))
      if (output.startsWith('digest.')) got.set(output, digest(pick(got, output.replace('digest.', 'intermediate.'))));
    const missing = Object.keys(outputs).filter((output) => !got.has(output));
    assert.deepEqual(missing, [], `outputs that were not made; there are ${[...got.keys()].join(', ')}`);
    // Integers have no tolerance: they are exact.
    for (const [output, { atol = 0 }] of Object.entries(outputs)) {
      compareTensor(
        { part: 'networks', case: name, output, reference: original, tolerance: atol },
        got.get(output) as Tensor,
        pick(wanted, output),
      );
    }
  });
}
