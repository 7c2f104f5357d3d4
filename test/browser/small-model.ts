/** A model of the bundled model's kinds of networks, but small: a GPU driver in software compiles each of its kernels for seconds. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { randomTensors } from '../random-models.ts';

/** Its YAML. A latent is two pixels high and wide. */
export const smallYaml = `model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: v
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 1000
    image_size: 8
    channels: 4
    cond_stage_key: txt
    conditioning_key: crossattn
    scale_factor: 1
    use_ema: false
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params: {image_size: 8, in_channels: 4, out_channels: 4, model_channels: 32, attention_resolutions: [1], num_res_blocks: 1, channel_mult: [1], num_heads: 2, use_spatial_transformer: true, transformer_depth: 1, context_dim: 32, use_checkpoint: false, legacy: false}
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params: {embed_dim: 4, ddconfig: {double_z: true, z_channels: 4, resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, attn_resolutions: [], dropout: 0}, lossconfig: {target: torch.nn.Identity}}
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params: {hidden_size: 32, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 64, vocab_size: 8192, max_position_embeddings: 77, hidden_act: quick_gelu}
`;

/** Writes small.safetensors and small.yaml into `folder`, and returns their paths. */
export async function writeSmallModel(folder: string): Promise<{ readonly model: string; readonly config: string }> {
  const [model, config] = [join(folder, 'small.safetensors'), join(folder, 'small.yaml')];
  const source = memoryWeights(randomTensors(smallYaml), 'small.safetensors');
  await writeFileAtomic(
    model,
    writeSafetensors(source.entries.values(), ({ name }) => source.read(name)),
  );
  writeFileSync(config, smallYaml);
  return { model, config };
}
