/** GGUF: the exact values of every type, and UNets that ComfyUI-GGUF and stable-diffusion.cpp wrote. */

import { join } from 'node:path';
import { modelConfig } from '../../../src/config/model-config.ts';
import { type NetworkConfig, networkConfigSchema } from '../../../src/config/network-config.ts';
import { openWeightsAt } from '../../../src/formats/open-weights-node.ts';
import { forward } from '../../../src/model/forward.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { withoutPrefix } from '../../../src/weights/view.ts';
import { pick, readTensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';
import { casesOf } from '../recorded-cases.ts';

export const reader: Reader = {
  set: 'families',
  reads: ({ files }, part) => part === 'gguf' && Array.isArray(files),
  compare: collecting(async (recordedCase, compare) => {
    const { setFolder, folder, row } = recordedCase;
    const file = (row['files'] as readonly string[]).find((name) => name.endsWith('.gguf')) ?? '';
    const outputs: Recorded = row['outputs'];
    const recorded = readTensors(join(folder, 'outputs.safetensors'));
    const source = await openWeightsAt(join(setFolder, file));
    try {
      const inputs = row['inputs_from'];
      const prefix = 'model.diffusion_model.';
      const whole = [...source.entries.keys()].some((name) => name.startsWith(prefix));
      const unet = whole ? withoutPrefix(source, prefix) : source;
      for (const [output, { atol = 0, same_as }] of Object.entries<Recorded>(outputs)) {
        if (output === 'out') {
          const given = readTensors(join(setFolder, String(inputs)));
          const config = configOf(recordedCase, String(inputs));
          const got = await forward({ engine: parityEngine(), config, weights: unet, inputs: given });
          compare.tensor(output, got.get('out'), pick(recorded, output), atol);
        } else if (same_as === undefined) {
          const name = output.replace(/^weight\./, '');
          const got = toFloat32(await (output === name ? source : unet).read(name));
          compare.tensor(output, got, toFloat32(pick(recorded, output)), atol);
        }
      }
    } finally {
      await source.close();
    }
  }),
};

/** The configuration of the case whose inputs are at `path`: head counts are not in shapes. */
function configOf({ root, set }: RecordedCase, path: string): NetworkConfig {
  const owner = casesOf(root, set).find(
    ({ row }) => typeof row['dir'] === 'string' && path.startsWith(`${row['dir']}/`),
  );
  if (!owner) throw new Error(`no case describes the network of ${path}`);
  const { target, params } = settingsOf(owner);
  return networkConfigSchema.parse(modelConfig({ target, params }, path));
}
