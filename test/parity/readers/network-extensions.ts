/** Networks that act on a UNet (control networks, adapters): their own outputs, and the UNet's with them as extensions. */

import { dirname, join } from 'node:path';
import * as z from 'zod';
import { extensionOutputs } from '../../extensions/recorded-extensions.ts';
import { pick, readTensors } from '../../tensors.ts';
import { parityEngine } from '../engine.ts';
import { compareTensors, type Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  outputs: z.record(z.string(), z.looseObject({ atol: z.number() })),
  /** From the case's folder. */
  unet_weights: z.string(),
});

export const reader: Reader = {
  set: 'networks',
  reads: ({ files, unet_weights }) =>
    unet_weights !== undefined && Object.keys(files ?? {}).includes('weights.safetensors'),
  async *compare({ row, folder }) {
    const { outputs, unet_weights } = rowSchema.parse(row);
    const want = readTensors(join(folder, 'outputs.safetensors'));
    const unetFolder = dirname(join(folder, unet_weights));
    const got = await extensionOutputs(folder, unetFolder, Object.keys(outputs), parityEngine());
    for (const [output, { atol }] of Object.entries(outputs))
      yield compareTensors(output, got.get(output), pick(want, output), atol);
  },
};
