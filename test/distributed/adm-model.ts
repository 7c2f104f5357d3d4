/** A tiny model of guided-diffusion in a file, for tests of commands on ranks. */

import { admFlags, admUNet } from '../../src/config/adm-flags.ts';
import { parseAdmFlags } from '../../src/config/adm-published.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomWeights } from '../random-models.ts';

export const admFlagText =
  '--image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,1 --attention_resolutions 8 --num_heads 1 --class_cond True --num_classes 3 --learn_sigma True --diffusion_steps 100';

export async function writeAdmModel(path: string): Promise<void> {
  const flags = admFlags(parseAdmFlags(admFlagText));
  const weights = memoryWeights(new Map(randomWeights(admUNet(flags), '', new TorchGenerator(1))));
  await writeFileAtomic(
    path,
    writeSafetensors(weights.entries.values(), ({ name }) => weights.read(name)),
  );
}
