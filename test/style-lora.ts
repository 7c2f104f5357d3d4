/** A LoRA of the bundled model that changes its pictures, for tests. */

import { ldmUNet } from '../src/config/network-config.ts';
import { writeLora } from '../src/adapters/lora/write-lora.ts';
import { openCheckpointAt } from '../src/checkpoints/open-checkpoint-node.ts';
import { writeNewFile } from '../src/files/write-file-node.ts';
import { pocketModel } from '../src/model/load-model-node.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';

/** Writes one that was trained under `trainedAs`. */
export async function writeStyleLora(path: string, trainedAs?: string): Promise<void> {
  const checkpoint = await openCheckpointAt(pocketModel);
  const generator = new TorchGenerator(0);
  const tensor = 'middle_block.1.transformer_blocks.0.attn2.to_v.weight';
  const [out = 0, into = 0] = checkpoint.parts.unet.entries.get(tensor)?.shape ?? [];
  const [down, up] = [generator.randn([4, into]), generator.randn([out, 4])];
  const bytes = writeLora([{ network: 'unet', tensor, down, up, alpha: 4 }], {
    layout: 'kohya',
    unet: ldmUNet(checkpoint.config.unet_config),
    ...(trainedAs === undefined ? {} : { metadata: { ss_output_name: trainedAs } }),
  });
  await writeNewFile(path, bytes);
  await checkpoint.close();
}
