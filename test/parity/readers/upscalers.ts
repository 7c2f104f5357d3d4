/** Upscalers of spandrel: what is read from a file, and the picture that the network makes, in every layout of the case. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { readUpscaler } from '../../../src/models/upscalers/index.ts';
import { expectDType } from '../../../src/tensor/tensor.ts';
import { createUpscaler } from '../../../src/upscaling/upscaler.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { generateWeights } from '../../generated-weights.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compareExactly, compareTensors, type Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  reference: z.string(),
  settings: z.looseObject({
    descriptor: z.looseObject({
      architecture: z.string(),
      scale: z.number(),
      input_channels: z.number(),
      purpose: z.string(),
      tags: z.array(z.string()),
    }),
    config: z.looseObject({ input_resolution: z.number().optional() }).optional(),
  }),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number() })),
  files: z.record(z.string(), z.number()),
});

async function* openAll(folder: string, files: readonly string[]): AsyncGenerator<[string, WeightSource]> {
  for (const file of files) {
    if (file.endsWith('.pth')) yield [file, await openWeightsAt(join(folder, file))];
    if (file === 'weights.json' && existsSync(join(folder, file)))
      yield [file, memoryWeights(generateWeights(join(folder, file)))];
  }
}

export const reader: Reader = {
  set: 'control',
  reads: ({ settings }) => z.looseObject({ descriptor: z.looseObject({}) }).safeParse(settings).success,
  async *compare({ row, folder }) {
    const { settings, outputs, files } = rowSchema.parse(row);
    const { architecture, scale, input_channels, purpose, tags } = settings.descriptor;
    const inputs = readTensors(join(folder, 'inputs.safetensors'));
    const wanted = readTensors(join(folder, 'outputs.safetensors'));
    for await (const [item, source] of openAll(folder, Object.keys(files))) {
      const network = readUpscaler(source, { trainingSize: settings.config?.input_resolution });
      const found = [network.architecture, network.scale, network.channels, network.purpose];
      yield compareExactly('descriptor', found, [architecture, scale, input_channels, purpose], { item });
      yield compareExactly('tags', network.tags, tags, { item });
      await using upscaler = createUpscaler(parityEngine(), network);
      for (const [output, { atol }] of Object.entries(outputs)) {
        const x = expectDType(pick(inputs, output.replace(/^out\./, 'image.')), 'float32');
        yield compareTensors(output, await upscaler.run(x), pick(wanted, output), atol, { item });
      }
    }
  },
};
