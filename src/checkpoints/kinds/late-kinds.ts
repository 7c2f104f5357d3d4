/** Kinds that are tried where no network was recognised: parts of files, and files that differ from those this program knows. */

import { enlarges, type FileKind, reads } from './file-kind.ts';

export const lateKinds: readonly FileKind[] = [
  {
    id: 'text-t5',
    name: "T5's text encoder",
    use: 'It reads prompts for DeepFloyd IF, Stable Diffusion 3, Flux and others; of these this program runs DeepFloyd IF, from its folder. sd forward runs it alone.',
    marks: ['.layer.0.SelfAttention.', 'enc.blk.0.attn_q.', ['^shared.weight', 'encoder.block.']],
  },
  {
    id: 'text-clip',
    name: "CLIP's text encoder alone",
    use: 'Give it with --text-encoder, together with a UNet.',
    marks: ['text_model.encoder.layers.', 'transformer.resblocks.0.attn.'],
  },
  {
    id: 'vision-siglip',
    name: "SigLIP's image encoder",
    use: reads,
    marks: [['vision_model.', 'vision_model.head.attention.']],
  },
  {
    id: 'vision-clip',
    name: "CLIP's image encoder alone",
    use: 'It sees pictures for IP-Adapters (--ip-adapter MODEL=PICTURE,encoder=FILE) and for style adapters.',
    marks: ['vision_model.encoder.layers.', '^visual.transformer.'],
  },
  {
    id: 'vae',
    name: 'an autoencoder (VAE) alone',
    use: 'Give it with --vae, together with a model.',
    marks: [
      ['decoder.conv_in.', 'encoder.conv_in.'],
      ['decoder.conv_in.', 'decoder.conv_out.'],
    ],
  },
  {
    id: 'taesd',
    name: 'a small autoencoder (TAESD)',
    use: 'Give it with --taesd, for previews.',
    marks: [['^decoder.1.', '^encoder.0.'], ['^1.weight', '^3.conv.0.'], '^taesd_decoder.'],
  },
  {
    id: 'unet',
    name: 'a part of a UNet',
    use: 'It is not complete. Get the whole file, or all of its parts with their index.',
    marks: ['^input_blocks.', '^output_blocks.', '^middle_block.', '^down_blocks.', '^up_blocks.'],
  },
  {
    id: 'transformer',
    name: 'a part of a Flux, Stable Diffusion 3 or Qwen-Image model',
    marks: ['transformer_blocks.0.attn.add_q_proj.', 'single_transformer_blocks.'],
  },
  {
    id: 'upscaler-compact',
    name: 'a Real-ESRGAN compact upscaler',
    use: enlarges,
    marks: [['^body.0.weight', '^body.1.weight']],
  },
  {
    id: 'aesthetic',
    name: 'a network that judges pictures',
    use: reads,
    marks: [['^layers.0.weight', '^layers.2.weight', '^layers.4.weight']],
  },
  {
    id: 'training-state',
    name: 'the state of a training run',
    use: 'Its optimizer holds no model. Take the file of weights next to it.',
    marks: ['/exp_avg', '.exp_avg'],
  },
  { id: 'classifier', name: 'a ResNet', use: reads, marks: [['^conv1.', '^layer1.0.conv1.']] },
];
