/** Autoencoders and text encoders of other families, by names of `VAE` and `detect_te_model` of ComfyUI (comfy/sd.py). */

import { type FileKind, latents, prompts, reads } from './file-kind.ts';

export const partsOfModels: readonly FileKind[] = [
  {
    id: 'vae-wan',
    name: 'an autoencoder (VAE) of Wan or Qwen-Image',
    use: latents('Wan', 'Qwen-Image'),
    marks: ['.residual.0.gamma', '.resnets.0.norm1.gamma'],
  },
  {
    id: 'vae-ltx-video',
    name: 'an autoencoder (VAE) of LTX-Video',
    use: latents('LTX-Video'),
    marks: ['.res_blocks.0.conv1.conv.', 'per_channel_statistics.mean-of-means'],
  },
  {
    id: 'vae-cogvideox',
    name: 'an autoencoder (VAE) of CogVideoX',
    use: latents('CogVideoX'),
    marks: ['.norm1.conv_b.conv.'],
  },
  {
    id: 'vae-mochi',
    name: 'an autoencoder (VAE) of Mochi',
    use: latents('Mochi'),
    marks: ['decoder.blocks.2.blocks.3.stack.5.', '^blocks.2.blocks.3.stack.5.', '^layers.4.layers.1.attn_block.'],
  },
  {
    id: 'vae-cosmos',
    name: 'an autoencoder (VAE) of Cosmos',
    use: latents('Cosmos'),
    marks: ['.unpatcher3d.', '.patcher3d.'],
  },
  {
    id: 'vae-hunyuan-video',
    name: 'an autoencoder (VAE) of HunyuanVideo',
    use: latents('HunyuanVideo'),
    marks: ['decoder.conv_in.conv.'],
  },
  {
    id: 'dc-autoencoder',
    name: 'an autoencoder of Sana (DC-AE)',
    use: latents('Sana'),
    marks: ['decoder.stages.1.op_list.', '.conv_out.conv_point.'],
  },
  {
    id: 'vae-audio',
    name: 'an autoencoder of sounds',
    use: 'It makes sounds.',
    marks: ['vocoder.backbone.', 'vocoder.activation_post.'],
  },
  {
    id: 'text-umt5',
    name: "UMT5's text encoder",
    use: prompts('Wan'),
    marks: [
      'encoder.block.1.layer.0.SelfAttention.relative_attention_bias.',
      ['blocks.0.pos_embedding.embedding.', '.ffn.gate.'],
    ],
  },
  {
    id: 'text-chatglm',
    name: 'a ChatGLM text encoder',
    use: prompts('Kolors'),
    marks: ['.self_attention.query_key_value.'],
  },
  {
    id: 'text-gemma',
    name: 'a Gemma language model',
    use: prompts('Lumina', 'Sana'),
    marks: ['.post_feedforward_layernorm.', '.post_ffw_norm.'],
  },
  {
    id: 'text-qwen',
    name: 'a Qwen language model',
    use: prompts('Qwen-Image', 'Z-Image', 'OmniGen'),
    marks: [
      '^layers.0.self_attn.k_proj.bias',
      '^language_model.layers.0.self_attn.k_proj.bias',
      ['^visual.blocks.', '.self_attn.q_proj.'],
    ],
  },
  {
    id: 'language-model',
    name: 'a language model',
    use: prompts('HiDream', 'HunyuanVideo'),
    marks: [
      'model.layers.0.self_attn.q_proj.',
      'language_model.layers.0.',
      '^layers.0.self_attn.q_proj.',
      ['^blk.0.attn_q.', '^token_embd.'],
      ['.self_attn.q_proj.', '.post_attention_layernorm.'],
    ],
  },
  {
    id: 'vision-projector',
    name: 'the image encoder of a language model (mmproj)',
    use: reads,
    marks: ['^v.blk.0.', '^mm.0.'],
  },
];
