/** LoRA files of every layout: the merged tensors, that no other tensor changes, and what the networks then give. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as z from 'zod';
import { openLora } from '../../../src/adapters/lora/lora-file.ts';
import { checkpointWithLora } from '../../../src/adapters/lora/with-lora.ts';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import type { Checkpoint } from '../../../src/checkpoints/checkpoint.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { type NetworkConfig, networkConfigSchema } from '../../../src/config/network-config.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { forward } from '../../../src/model/forward.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { existingFile, maxDifference } from '../../parity.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  scale: z.number(),
  /** Names and shapes of the tensors that the file changes. */
  merged: z.record(z.string(), z.array(z.number())),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number() })),
  /** Inputs of the UNet, then of the text encoder; their networks lie beside them. */
  inputs_from: z.array(z.string()),
});

interface Base {
  readonly config: NetworkConfig;
  readonly inputs: string;
  readonly weights: () => WeightSource;
}

/** The network whose recorded inputs are at `path`. */
function baseOf(folder: string, path: string): Base {
  const inputs = join(folder, path.split(' ')[0] ?? '');
  const home = dirname(inputs);
  const file = existingFile(['config.yaml', 'config.json'].map((name) => join(home, name)));
  const config = networkConfigSchema.parse(parseModelConfig(readFileSync(file, 'utf8'), file));
  const tensors = readTensors(join(home, 'weights.safetensors'));
  return { config, inputs, weights: () => canonicalWeights(memoryWeights(tensors, home), config).source };
}

const prefixes = { unet: 'model.diffusion_model.', cond_stage: 'cond_stage_model.' } as const;

export const reader: Reader = {
  set: 'networks',
  reads: ({ files }) => 'lora.safetensors' in Object(files),
  compare: collecting(async ({ row, folder }, compare) => {
    const { scale, merged, outputs, inputs_from } = rowSchema.parse(row);
    const [unet, text] = inputs_from.map((path) => baseOf(folder, path));
    if (!unet || !text) throw new Error('a LoRA case names the inputs of a UNet and of a text encoder');
    const base: Record<keyof typeof prefixes, Base> = { unet, cond_stage: text };
    const checkpoint = {
      config: { unet_config: unet.config, cond_stage_config: text.config },
      parts: { unet: unet.weights(), first_stage: memoryWeights(new Map()), cond_stage: text.weights() },
      async close() {},
      // As much of a checkpoint as a merge looks at.
    } as unknown as Checkpoint;
    const file = await openWeightsAt(join(folder, 'lora.safetensors'));
    const { parts } = checkpointWithLora(checkpoint, [{ lora: openLora(file), scale }]);
    const wanted = readTensors(join(folder, 'merged.safetensors'));
    compare.exact('names of merged tensors', Object.keys(merged).sort(), [...wanted.keys()].sort());
    let others = 0;
    for (const [part, prefix] of Object.entries(prefixes) as [keyof typeof prefixes, string][]) {
      const plain = base[part].weights();
      for (const name of parts[part].entries.keys()) {
        const want = wanted.get(prefix + name);
        const got = await parts[part].read(name);
        // One rounding to float32 of sums of at most some hundred products of numbers near 1.
        if (want) compare.tensor(`merged ${prefix}${name}`, got, want, 1e-6);
        else others = Math.max(others, maxDifference(got, await plain.read(name)));
      }
    }
    compare.error('change of the other tensors', others, 0);
    const recorded = readTensors(join(folder, 'outputs.safetensors'));
    const run = (part: keyof typeof prefixes) =>
      forward({
        engine: parityEngine(),
        config: base[part].config,
        weights: parts[part],
        inputs: readTensors(base[part].inputs),
      });
    const made = { unet_out: (await run('unet')).get('out'), ...Object.fromEntries(await run('cond_stage')) };
    for (const [output, { atol }] of Object.entries(outputs))
      compare.tensor(output, made[output as keyof typeof made], pick(recorded, output), atol);
    await file.close();
  }),
};
