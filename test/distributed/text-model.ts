/** A tiny text-to-image model with random weights in a file, its configuration beside it, for tests of commands on ranks. */

import { writeFileSync } from 'node:fs';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { kl, randomTensors, yaml } from '../random-models.ts';

/** Pictures of 8x8 pixels. */
const configuration = yaml({
  params: 'channels: 4, conditioning_key: crossattn, cond_stage_key: txt',
  unet: 'in_channels: 4, out_channels: 4, num_heads: 1, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32',
  stage: kl.replace('ch_mult: [1, 1]', 'ch_mult: [1]'),
  condition:
    '{target: ldm.modules.encoders.modules.FrozenCLIPEmbedder, params: {vocab_size: 600, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}}',
});

/** `path` ends with .safetensors. */
export async function writeTextModel(path: string): Promise<void> {
  const weights = memoryWeights(randomTensors(configuration));
  await writeFileAtomic(
    path,
    writeSafetensors(weights.entries.values(), ({ name }) => weights.read(name)),
  );
  writeFileSync(path.replace(/safetensors$/, 'yaml'), configuration);
}
