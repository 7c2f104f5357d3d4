/** Networks alone: every output and intermediate tensor of a forward pass, within each tensor's tolerance. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { detectNetwork } from '../../../src/checkpoints/detect.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { networkConfigSchema, type NetworkConfig } from '../../../src/config/network-config.ts';
import { forward } from '../../../src/model/forward.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { generateWeights } from '../../generated-weights.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compareTensors, type Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  /** Per output the tolerance; integers have none, they are exact. */
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional() })),
  inputs_from: z.string().optional(),
  files: z.record(z.string(), z.number()),
});

export const reader: Reader = {
  set: 'networks',
  // A network that acts on a UNet names the UNet's weights; LoRA files and embeddings have no weights of their own.
  reads: ({ files, unet_weights }) =>
    unet_weights === undefined && Object.keys(files ?? {}).some((name) => /^weights\.(json|safetensors)$/.test(name)),
  async *compare({ row, folder }) {
    const { outputs, inputs_from } = rowSchema.parse(row);
    const weights = existsSync(join(folder, 'weights.json'))
      ? generateWeights(join(folder, 'weights.json'))
      : readTensors(join(folder, 'weights.safetensors'));
    const wanted = readTensors(join(folder, 'outputs.safetensors'));
    const got = await forward({
      engine: parityEngine(),
      config: readConfig(folder, weights),
      weights: memoryWeights(weights),
      inputs: readTensors(join(folder, inputs_from ?? 'inputs.safetensors')),
      taps: Object.keys(outputs).flatMap((output) => /^(?:intermediate|digest)\.(.*)$/.exec(output)?.[1] ?? []),
    });
    for (const [output, { atol = 0 }] of Object.entries(outputs)) {
      const made = output.startsWith('digest.')
        ? digest(pick(got, output.replace('digest.', 'intermediate.')))
        : got.get(output);
      yield compareTensors(output, made, pick(wanted, output), atol);
    }
  },
};

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
