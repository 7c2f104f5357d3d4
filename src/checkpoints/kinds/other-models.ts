/** Models of families that this program does not run, by names of `detect_unet_config` of ComfyUI (comfy/model_detection.py) and of diffusers' transformers. */

import type { FileKind } from './file-kind.ts';

export const otherModels: readonly FileKind[] = [
  {
    id: 'svd',
    name: 'a Stable Video Diffusion model',
    marks: ['time_mixer.mix_factor', 'temporal_transformer_blocks.', '.time_stack.'],
  },
  {
    id: 'hunyuan-video',
    name: 'a HunyuanVideo model',
    marks: ['individual_token_refiner.', 'context_embedder.token_refiner.'],
  },
  { id: 'hunyuan-dit', name: 'a Hunyuan-DiT model', marks: ['text_embedding_padding', '^mlp_t5.'] },
  {
    id: 'hunyuan-3d',
    name: 'a Hunyuan3D model',
    marks: ['^latent_in.', 'geo_decoder.', ['^t_embedder.mlp.2.', '.attn1.to_q.']],
  },
  {
    id: 'auraflow',
    name: 'an AuraFlow model',
    marks: ['double_layers.0.attn.', 'joint_transformer_blocks.0.attn.', '^cond_seq_linear.'],
  },
  { id: 'imagen-pytorch', name: 'a model of imagen-pytorch', marks: ['to_time_hiddens.', 'null_text_embed'] },
  { id: 'hidream', name: 'a HiDream model', marks: ['double_stream_blocks.', '^caption_projection.0.linear.'] },
  {
    id: 'chroma',
    name: 'a Chroma model',
    marks: ['distilled_guidance_layer.', '^nerf_blocks.', '^nerf_image_embedder.'],
  },
  { id: 'flux-2', name: 'a Flux 2 model', marks: ['double_stream_modulation_img.'] },
  {
    id: 'omnigen',
    name: 'an OmniGen model',
    marks: ['time_caption_embed.', '^ref_image_refiner.', ['^llm.', 'x_embedder.']],
  },
  { id: 'bagel', name: 'a BAGEL model', marks: ['^vae2llm.', '^latent_pos_embed.'] },
  { id: 'janus', name: 'a Janus model', marks: ['^gen_vision_model.'] },
  {
    id: 'qwen-image',
    name: 'a Qwen-Image model',
    marks: ['^txt_norm.', 'transformer_blocks.0.txt_mlp.', '.img_mlp.net.', '.img_mod.1.'],
  },
  {
    id: 'lumina',
    name: 'a Lumina or Z-Image model',
    marks: ['cap_embedder.0.', 'cap_embedder.1.', '^noise_refiner.', '^context_refiner.', '^time_caption_embed.'],
  },
  {
    id: 'ltx-video',
    name: 'an LTX-Video model',
    marks: [
      'patchify_proj.',
      ['^caption_projection.', '^time_embed.emb.', '.attn1.norm_k.'],
      ['^adaln_single.', '.attn1.norm_k.'],
    ],
  },
  { id: 'mochi', name: 'a Mochi model', marks: ['.attn.qkv_x.', '^t5_yproj.'] },
  {
    id: 'wan',
    name: 'a Wan model',
    marks: [
      'head.modulation',
      ['.self_attn.q.', '.cross_attn.'],
      '.cross_attn.norm_k.',
      'vace_patch_embedding.',
      ['^condition_embedder.time_embedder.', '.attn1.to_q.'],
    ],
  },
  {
    id: 'cosmos',
    name: 'a Cosmos model',
    marks: ['blocks.block0.blocks.0.block.attn.', ['.mlp.layer1.', '^t_embedding_norm.']],
  },
  { id: 'cogvideox', name: 'a CogVideoX model', marks: ['patch_embed.text_proj.', '^mixins.adaln_layer.'] },
  {
    id: 'sana',
    name: 'a Sana model',
    marks: ['.inverted_conv.', '.conv_inverted.', ['^caption_norm.', '^time_embed.']],
  },
  {
    id: 'cascade',
    name: 'a Stable Cascade or Würstchen model',
    marks: [
      'clip_txt_mapper.',
      'clip_txt_pooled_mapper',
      'effnet_mapper',
      ['^clf.1.', 'clip_mapper.'],
      '^vquantizer.codebook.',
      'backbone.1.0.block.0.1.',
      'blocks.11.num_batches_tracked',
    ],
  },
  {
    id: 'kolors',
    name: 'a Kolors model',
    use: 'This program makes pictures with Stable Diffusion v1 and v2, SDXL and models of latent diffusion; Kolors takes a ChatGLM text encoder.',
    marks: [['^encoder_hid_proj.weight', '^add_embedding.', '.attn2.to_k.']],
  },
  {
    id: 'kandinsky',
    name: 'a Kandinsky model',
    marks: [
      'encoder_hid_proj.image_embeds.',
      'add_embedding.image_norm.',
      '^prd_embedding',
      '^proj_to_clip_embeddings.',
    ],
  },
  {
    id: 'amused',
    name: 'a model of aMUSEd or Muse',
    marks: ['^transformer_layers.0.crossattention.', ['^transformer_layers.', '^embed.token_embedding.']],
  },
  {
    id: 'stable-audio',
    name: 'a Stable Audio model',
    use: 'It makes sounds.',
    marks: ['transformer.rotary_pos_emb.inv_freq', '^pretransform.'],
  },
  { id: 'ace-step', name: 'an ACE-Step model', use: 'It makes sounds.', marks: ['^genre_embedder.'] },
  {
    id: 'sd3',
    name: 'a Stable Diffusion 3 model',
    marks: [
      'joint_blocks.',
      ['transformer_blocks.', '.norm1_context.', '^pos_embed.proj.'],
      ['.attn.add_q_proj.', '^pos_embed.proj.'],
    ],
  },
  {
    id: 'nunchaku',
    name: 'a model of Nunchaku (SVDQuant)',
    use: 'Its weights are packed for a graphics card. Take the model in a file of safetensors or GGUF.',
    marks: ['.wscales'],
  },
  {
    id: 'flux',
    name: 'a Flux model',
    marks: [
      'double_blocks.',
      ['single_blocks.', '.linear1.'],
      ['single_blocks.', '.modulation.lin.'],
      ['single_transformer_blocks.', '.attn.'],
      ['.norm1_context.', '^time_text_embed.'],
      ['.attn.add_q_proj.', '^x_embedder.'],
    ],
  },
  {
    id: 'pixart',
    name: 'a PixArt or DiT model',
    marks: ['scale_shift_table', 'adaLN_modulation', '^adaln_single.', ['^t_block.1.', '.attn.qkv.']],
  },
];
