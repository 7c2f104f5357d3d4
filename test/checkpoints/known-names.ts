/**
 * Names of files that people have, a few of each, with shapes where they decide: by the id of the kind that each is. From ComfyUI's
 * comfy/model_detection.py and comfy/sd.py, diffusers' loaders/single_file_utils.py, and the published files.
 */

/** A name, or a name with its shape. */
export type KnownName = string | readonly [name: string, ...shape: number[]];

export const knownNames: Readonly<Record<string, readonly (readonly KnownName[])[]>> = {
  flux: [
    [
      'img_in.weight',
      'double_blocks.0.img_attn.norm.key_norm.scale',
      'double_blocks.0.img_attn.qkv.weight',
      'single_blocks.0.linear1.weight',
      'guidance_in.in_layer.weight',
    ],
    ['double_blocks.0.img_attn.qkv.weight', 'double_blocks.0.txt_mod.lin.weight'],
    ['single_blocks.0.linear1.weight', 'single_blocks.0.modulation.lin.weight'],
    [
      'model.diffusion_model.double_blocks.0.img_attn.qkv.weight',
      'model.diffusion_model.single_blocks.0.linear1.weight',
      'text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.k.weight',
      'vae.decoder.conv_in.weight',
    ],
    [
      'single_transformer_blocks.0.attn.to_q.weight',
      'transformer_blocks.0.attn.add_q_proj.weight',
      'x_embedder.weight',
      'context_embedder.weight',
      'time_text_embed.timestep_embedder.linear_1.weight',
    ],
    ['double_blocks.0.img_attn.qkv.weight.quant_state.bitsandbytes__nf4', 'double_blocks.0.img_attn.qkv.weight'],
  ],
  chroma: [
    [
      'distilled_guidance_layer.norms.0.scale',
      'distilled_guidance_layer.in_proj.weight',
      'double_blocks.0.img_attn.qkv.weight',
      'single_blocks.0.linear1.weight',
    ],
    ['distilled_guidance_layer.norms.0.scale', 'distilled_guidance_layer.layers.0.in_layer.weight'],
    ['nerf_blocks.0.norm.scale', 'distilled_guidance_layer.norms.0.scale', 'double_blocks.0.img_attn.qkv.weight'],
  ],
  'text-t5': [
    [
      'shared.weight',
      'encoder.block.0.layer.0.SelfAttention.q.weight',
      'encoder.block.23.layer.1.DenseReluDense.wi_1.weight',
      'encoder.final_layer_norm.weight',
    ],
    [
      'shared.weight',
      'encoder.block.0.layer.0.SelfAttention.q.weight',
      'decoder.block.0.layer.1.EncDecAttention.q.weight',
      'lm_head.weight',
    ],
    ['transformer.shared.weight', 'transformer.encoder.block.0.layer.0.SelfAttention.k.weight'],
    ['token_embd.weight', 'enc.blk.0.attn_q.weight', 'enc.blk.0.attn_rel_b.weight'],
    [['shared.weight', 1510, 1472], 'encoder.block.0.layer.0.SelfAttention.k.weight'],
  ],
  'text-umt5': [
    [
      ['shared.weight', 256384, 4096],
      'encoder.block.0.layer.0.SelfAttention.k.weight',
      'encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight',
    ],
    [
      'token_embedding.weight',
      'blocks.0.attn.q.weight',
      'blocks.0.pos_embedding.embedding.weight',
      'blocks.0.ffn.gate.0.weight',
    ],
  ],
  'segment-anything': [
    [
      'image_encoder.blocks.0.attn.qkv.weight',
      'image_encoder.pos_embed',
      'prompt_encoder.point_embeddings.0.weight',
      'mask_decoder.iou_token.weight',
    ],
    [
      'vision_encoder.layers.0.attn.qkv.weight',
      'shared_image_embedding.positional_embedding',
      'mask_decoder.iou_token.weight',
      'prompt_encoder.mask_embed.conv1.weight',
    ],
    [
      'image_encoder.trunk.blocks.0.attn.qkv.weight',
      'sam_mask_decoder.iou_token.weight',
      'memory_attention.layers.0.norm1.weight',
    ],
    ['image_encoder.layers.0.blocks.0.conv1.c.weight', 'mask_decoder.iou_token.weight'],
  ],
  wan: [
    ['blocks.0.self_attn.q.weight', 'blocks.0.cross_attn.k.weight', 'head.modulation', 'patch_embedding.weight'],
    [
      'blocks.0.attn1.to_q.weight',
      'condition_embedder.time_embedder.linear_1.weight',
      'scale_shift_table',
      'blocks.0.scale_shift_table',
    ],
    ['blocks.20.self_attn.q.weight', 'blocks.20.cross_attn.norm_k.weight'],
  ],
  'vae-wan': [
    ['decoder.middle.0.residual.0.gamma', 'encoder.downsamples.0.residual.0.gamma'],
    ['decoder.middle.0.residual.0.gamma', 'decoder.upsamples.0.upsamples.0.residual.2.weight'],
    ['decoder.up_blocks.0.resnets.0.norm1.gamma', 'decoder.mid_block.resnets.0.norm1.gamma', 'quant_conv.weight'],
  ],
  'hunyuan-video': [
    [
      'txt_in.individual_token_refiner.blocks.0.norm1.weight',
      'double_blocks.0.img_attn.qkv.weight',
      'img_in.proj.weight',
    ],
    ['txt_in.individual_token_refiner.blocks.0.self_attn_qkv.weight', 'double_blocks.0.img_attn_qkv.weight'],
    [
      'context_embedder.token_refiner.refiner_blocks.0.attn.to_q.weight',
      'single_transformer_blocks.0.attn.to_q.weight',
      'transformer_blocks.0.attn.add_q_proj.weight',
    ],
    [
      'double_blocks.0.img_attn.qkv.weight',
      'txt_in.individual_token_refiner.blocks.0.norm1.weight',
      'byt5_in.fc1.weight',
    ],
  ],
  'vae-hunyuan-video': [
    [['decoder.conv_in.conv.weight', 512, 16, 3, 3, 3], 'encoder.down_blocks.0.resnets.0.conv1.conv.weight'],
  ],
  'hunyuan-dit': [['mlp_t5.0.weight', 'blocks.0.attn1.Wqkv.weight', 'text_embedding_padding']],
  'hunyuan-3d': [
    ['latent_in.weight', 'double_blocks.0.img_attn.qkv.weight'],
    ['t_embedder.mlp.2.weight', 'blocks.0.attn1.to_q.weight'],
  ],
  'ltx-video': [
    [
      'adaln_single.emb.timestep_embedder.linear_1.bias',
      'patchify_proj.weight',
      'transformer_blocks.0.attn1.to_k.weight',
    ],
    [
      'proj_in.weight',
      'time_embed.emb.timestep_embedder.linear_1.weight',
      'transformer_blocks.0.attn1.norm_k.weight',
      'caption_projection.linear_1.weight',
    ],
  ],
  'vae-ltx-video': [['decoder.up_blocks.0.res_blocks.0.conv1.conv.weight', 'per_channel_statistics.mean-of-means']],
  lumina: [
    ['cap_embedder.1.weight', 'layers.0.attention.qkv.weight', 'noise_refiner.0.attention.qkv.weight'],
    ['cap_embedder.0.weight', 'layers.0.attention.wq.weight'],
    [
      'cap_embedder.1.weight',
      'all_x_embedder.2-1.weight',
      'context_refiner.0.attention.to_q.weight',
      'layers.0.attention.to_q.weight',
    ],
  ],
  omnigen: [
    [
      'time_caption_embed.timestep_embedder.linear_1.bias',
      'layers.0.attn.to_q.weight',
      'ref_image_refiner.0.attn.to_q.weight',
    ],
    ['llm.layers.0.self_attn.qkv_proj.weight', 'x_embedder.proj.weight', 'input_x_embedder.proj.weight'],
  ],
  'qwen-image': [
    [
      'txt_norm.weight',
      'transformer_blocks.0.attn.add_q_proj.weight',
      'transformer_blocks.0.img_mlp.net.0.proj.weight',
    ],
  ],
  pixart: [
    ['t_block.1.weight', 'blocks.0.attn.qkv.weight', 'y_embedder.y_embedding', 'blocks.0.scale_shift_table'],
    [
      'adaln_single.emb.timestep_embedder.linear_1.bias',
      'pos_embed.proj.bias',
      'transformer_blocks.0.attn1.to_q.weight',
      'scale_shift_table',
    ],
    [
      'x_embedder.proj.weight',
      't_embedder.mlp.0.weight',
      'blocks.0.adaLN_modulation.1.weight',
      'y_embedder.embedding_table.weight',
    ],
  ],
  sana: [
    [
      't_block.1.weight',
      'blocks.0.attn.qkv.weight',
      'blocks.0.mlp.inverted_conv.conv.weight',
      'attention_y_norm.weight',
    ],
    [
      'time_embed.emb.timestep_embedder.linear_1.weight',
      'transformer_blocks.0.ff.conv_inverted.weight',
      'caption_norm.weight',
    ],
  ],
  cascade: [
    ['clf.1.weight', 'clip_txt_mapper.weight', 'down_blocks.0.0.channelwise.0.weight'],
    ['clf.1.weight', 'clip_mapper.weight', 'down_blocks.0.0.channelwise.0.weight'],
    ['vquantizer.codebook.weight', 'down_blocks.0.depthwise.1.weight'],
    ['backbone.1.0.block.0.1.num_batches_tracked', 'mapper.0.weight'],
    ['blocks.11.num_batches_tracked', 'blocks.0.weight'],
  ],
  auraflow: [
    ['double_layers.0.attn.w1q.weight', 'single_layers.0.attn.w1q.weight', 'cond_seq_linear.weight'],
    ['joint_transformer_blocks.0.attn.add_k_proj.weight', 'single_transformer_blocks.0.attn.to_q.weight'],
  ],
  kolors: [
    [
      ['encoder_hid_proj.weight', 2048, 4096],
      ['down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight', 640, 2048],
      ['conv_in.weight', 320, 4, 3, 3],
      ['add_embedding.linear_1.weight', 1280, 5632],
    ],
  ],
  'text-chatglm': [
    [
      'transformer.encoder.layers.0.self_attention.query_key_value.weight',
      'transformer.embedding.word_embeddings.weight',
    ],
  ],
  hidream: [['caption_projection.0.linear.weight', 'double_stream_blocks.0.block.attn1.to_q.weight']],
  sd3: [
    [
      'model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight',
      'model.diffusion_model.x_embedder.proj.weight',
    ],
    ['joint_blocks.0.context_block.attn.ln_q.weight', 'joint_blocks.37.x_block.attn.qkv.weight'],
    ['joint_blocks.0.x_block.attn2.qkv.weight', 'joint_blocks.0.context_block.attn.ln_q.weight'],
    [
      'transformer_blocks.0.attn.add_q_proj.weight',
      'pos_embed.proj.weight',
      'transformer_blocks.0.norm1_context.linear.weight',
      'time_text_embed.timestep_embedder.linear_1.weight',
    ],
  ],
  kl: [
    [
      ['decoder.conv_in.weight', 512, 4, 3, 3],
      ['encoder.conv_in.weight', 128, 3, 3, 3],
      ['decoder.mid.block_1.norm1.weight', 512],
      ['post_quant_conv.weight', 4, 4, 1, 1],
    ],
    [
      ['decoder.conv_in.weight', 512, 16, 3, 3],
      ['encoder.conv_in.weight', 128, 3, 3, 3],
      ['decoder.mid.block_1.norm1.weight', 512],
    ],
    [
      ['decoder.conv_in.weight', 512, 16, 3, 3],
      ['encoder.conv_in.weight', 128, 3, 3, 3],
      ['decoder.up_blocks.0.resnets.0.norm1.weight', 512],
    ],
    [
      ['decoder.conv_in.weight', 512, 32, 3, 3],
      ['encoder.conv_in.weight', 128, 3, 3, 3],
      ['decoder.mid.block_1.norm1.weight', 512],
    ],
  ],
  taesd: [
    [
      ['1.weight', 64, 16, 3, 3],
      ['3.conv.0.weight', 64, 64, 3, 3],
    ],
    ['decoder.1.weight', 'decoder.22.bias', 'encoder.0.weight'],
  ],
  'vae-mochi': [
    ['decoder.blocks.2.blocks.3.stack.5.weight'],
    ['decoder.blocks.2.blocks.3.stack.5.weight', 'decoder.layers.1.layers.0.beta'],
  ],
  'vae-cosmos': [['decoder.unpatcher3d.wavelets']],
  'dc-autoencoder': [
    ['decoder.stages.1.op_list.0.main.conv1.conv.weight'],
    ['decoder.up_blocks.0.0.conv_out.conv_point.weight', 'encoder.down_blocks.3.0.attn.to_q.weight'],
  ],
  mochi: [['t5_yproj.weight', 'blocks.0.attn.qkv_x.weight']],
  cosmos: [
    ['blocks.0.mlp.layer1.weight', 'x_embedder.proj.1.weight', 't_embedding_norm.weight'],
    ['blocks.block0.blocks.0.block.attn.to_q.0.weight'],
  ],
  cogvideox: [
    [
      'patch_embed.text_proj.weight',
      'transformer_blocks.0.norm1.linear.weight',
      'transformer_blocks.0.attn1.norm_q.weight',
    ],
  ],
  'vae-cogvideox': [['decoder.up_blocks.0.resnets.0.norm1.conv_b.conv.weight']],
  svd: [
    [
      'model.diffusion_model.input_blocks.1.1.time_stack.0.attn1.to_q.weight',
      'model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight',
    ],
  ],
  'stable-audio': [['model.model.transformer.rotary_pos_emb.inv_freq', 'pretransform.model.encoder.layers.0.bias']],
  'ace-step': [['genre_embedder.weight', 'transformer_blocks.0.attn.to_q.weight']],
  'text-clip': [
    [
      ['text_model.embeddings.token_embedding.weight', 49408, 768],
      ['text_model.embeddings.position_embedding.weight', 77, 768],
      ['text_model.encoder.layers.0.mlp.fc1.weight', 3072, 768],
    ],
    [
      ['text_model.embeddings.token_embedding.weight', 49408, 1280],
      ['text_model.encoder.layers.31.mlp.fc1.weight', 5120, 1280],
    ],
    [['transformer.text_model.encoder.layers.0.mlp.fc1.weight', 3072, 768]],
  ],
  'vision-clip': [
    [
      ['vision_model.embeddings.patch_embedding.weight', 1280, 3, 14, 14],
      ['vision_model.encoder.layers.0.mlp.fc1.weight', 5120, 1280],
      ['visual_projection.weight', 1024, 1280],
    ],
  ],
  'vision-siglip': [
    [
      ['vision_model.embeddings.patch_embedding.weight', 1152, 3, 14, 14],
      ['vision_model.head.attention.in_proj_weight', 3456, 1152],
      ['vision_model.embeddings.patch_embedding.bias', 1152],
    ],
  ],
  dino: [
    [
      'embeddings.patch_embeddings.projection.weight',
      'encoder.layer.0.layer_scale1.lambda1',
      'encoder.layer.0.attention.attention.query.weight',
    ],
  ],
  'language-model': [
    [
      'model.layers.0.self_attn.q_proj.weight',
      'model.layers.0.post_attention_layernorm.weight',
      'model.embed_tokens.weight',
    ],
    ['token_embd.weight', 'blk.0.attn_q.weight', 'output_norm.weight'],
  ],
  'text-gemma': [['model.layers.0.post_feedforward_layernorm.weight', 'model.embed_tokens.weight']],
  'text-qwen': [
    ['visual.blocks.0.attn.qkv.weight', 'model.layers.0.self_attn.k_proj.bias'],
    ['model.visual.blocks.0.attn.qkv.weight', 'model.language_model.layers.0.self_attn.k_proj.bias'],
  ],
  'vision-projector': [['v.blk.0.attn_q.weight', 'mm.0.weight']],
  controlnet: [
    ['control_model.input_blocks.0.0.weight', 'control_model.zero_convs.0.0.weight'],
    ['controlnet_cond_embedding.conv_in.weight', 'controlnet_down_blocks.0.weight'],
    ['control_add_embedding.linear_1.weight', 'controlnet_cond_embedding.conv_in.weight', 'task_embedding'],
  ],
  'control-lora': [['lora_controlnet', 'input_hint_block.0.weight', 'input_blocks.1.0.emb_layers.1.up']],
  'controlnet-lllite': [
    [
      'lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.down.0.weight',
      'lllite_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.conditioning1.0.weight',
    ],
  ],
  'controlnet-flux': [
    ['controlnet_x_embedder.weight', 'controlnet_blocks.0.weight', 'transformer_blocks.0.attn.add_q_proj.weight'],
    [
      'controlnet_blocks.0.weight',
      'double_blocks.0.img_attn.qkv.weight',
      'input_hint_block.0.weight',
      'pos_embed_input.weight',
    ],
  ],
  'controlnet-sd3': [
    ['controlnet_blocks.0.weight', 'transformer_blocks.0.attn.to_q.weight', 'pos_embed_input.proj.weight'],
  ],
  'controlnet-qwen-image': [
    ['controlnet_blocks.0.weight', 'transformer_blocks.0.img_mlp.net.0.proj.weight', 'controlnet_x_embedder.weight'],
  ],
  't2i-adapter': [
    [
      ['body.0.block1.weight', 320, 320, 3, 3],
      ['conv_in.weight', 320, 192, 3, 3],
      ['body.0.in_conv.weight', 320, 320, 1, 1],
    ],
    [
      ['adapter.body.0.resnets.0.block1.weight', 320, 320, 3, 3],
      ['adapter.conv_in.weight', 320, 768, 3, 3],
    ],
  ],
  'ip-adapter': [
    ['image_proj.proj.weight', 'ip_adapter.1.to_k_ip.weight'],
    ['image_proj/proj.weight', 'ip_adapter/1.to_k_ip.weight'],
    ['image_proj.proj.0.weight', 'ip_adapter.0.to_k_lora.down.weight', 'ip_adapter.1.to_k_ip.weight'],
    ['image_proj.latents', 'ip_adapter.1.to_k_ip.weight'],
  ],
  'ip-adapter-flux': [
    ['double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight', 'ip_adapter_proj_model.proj.weight'],
    ['image_proj.proj.0.weight', 'ip_adapter.0.to_k_ip.weight', 'ip_adapter.0.norm_added_k.weight'],
  ],
  pulid: [['pulid_encoder.body.0.weight', 'pulid_ca.0.to_q.weight']],
  photomaker: [['id_encoder.vision_model.embeddings.class_embedding', 'lora_weights.unet.x']],
  'flux-redux': [['redux_up.weight', 'redux_down.weight']],
  gligen: [['position_net.linears.0.weight']],
  hypernetwork: [['320/0/linear.0.weight', '320/1/linear.0.weight']],
  lora: [
    [['lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight', 8, 768]],
    [['lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight', 8, 768]],
    [
      ['lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_a', 320, 8],
      ['lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b', 8, 768],
      ['lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w2_a', 320, 8],
      ['lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w2_b', 8, 768],
    ],
    ['lora_unet_down_blocks_0_attentions_0_proj_in.oft_blocks'],
  ],
  'lora-wan': [
    [
      ['diffusion_model.blocks.0.self_attn.q.lora_A.weight', 8, 5120],
      ['diffusion_model.blocks.0.self_attn.q.lora_B.weight', 5120, 8],
    ],
    [
      ['lora_unet_blocks_0_self_attn_q.lora_down.weight', 8, 5120],
      ['lora_unet_blocks_0_cross_attn_k.lora_down.weight', 8, 5120],
    ],
    [['transformer.blocks.0.attn1.to_q.lora_A.weight', 8, 5120]],
  ],
  'lora-qwen-image': [
    [
      ['transformer.transformer_blocks.1.attn.add_q_proj.lora_A.weight', 8, 3072],
      ['transformer.transformer_blocks.1.img_mlp.net.2.lora_A.weight', 8, 3072],
    ],
    [
      ['transformer_blocks.1.attn.to_q.lora_A.default.weight', 8, 3072],
      ['transformer_blocks.1.txt_mlp.net.2.lora_A.default.weight', 8, 3072],
    ],
    [
      ['lora_unet_transformer_blocks_1_attn_add_q_proj.lora_down.weight', 8, 3072],
      ['lora_unet_transformer_blocks_1_img_mod_1.lora_down.weight', 8, 3072],
    ],
  ],
  'lora-ltx-video': [
    [
      ['diffusion_model.transformer_blocks.1.attn1.to_k.lora_A.weight', 8, 2048],
      ['diffusion_model.transformer_blocks.1.attn2.to_k.lora_A.weight', 8, 2048],
    ],
  ],
  'lora-hunyuan-video': [
    [
      ['diffusion_model.double_blocks.0.img_attn_qkv.lora_A.weight', 8, 3072],
      ['diffusion_model.single_blocks.0.linear1.lora_A.weight', 8, 3072],
    ],
    [
      ['transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight', 8, 3072],
      ['transformer.context_embedder.token_refiner.refiner_blocks.0.attn.to_q.lora_A.weight', 8, 3072],
    ],
  ],
  'lora-chroma': [
    [
      ['lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight', 8, 3072],
      ['lora_unet_distilled_guidance_layer_in_proj.lora_down.weight', 8, 64],
    ],
  ],
  'lora-flux': [
    [
      ['transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight', 8, 3072],
      ['transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight', 8, 3072],
    ],
    [['transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight', 8, 3072]],
  ],
  'lora-sd3': [[['transformer.transformer_blocks.0.attn.add_q_proj.lora_A.weight', 8, 1536]]],
  'lora-lumina': [
    [
      ['diffusion_model.layers.0.attention.qkv.lora_A.weight', 8, 2304],
      ['diffusion_model.layers.0.feed_forward.w1.lora_A.weight', 8, 2304],
    ],
    [
      ['diffusion_model.layers.0.attention.to_q.lora_A.weight', 8, 3840],
      ['diffusion_model.layers.0.feed_forward.w1.lora_A.weight', 8, 3840],
    ],
  ],
  'lora-hidream': [[['diffusion_model.double_stream_blocks.0.block.attn1.to_q.lora_A.weight', 8, 2560]]],
  'lora-pixart': [
    [
      ['base_model.model.transformer_blocks.1.attn2.to_k.lora_A.weight', 8, 1152],
      ['base_model.model.transformer_blocks.0.attn1.to_q.lora_A.weight', 8, 1152],
    ],
  ],
  'lora-auraflow': [[['transformer.joint_transformer_blocks.0.attn.to_q.lora_A.weight', 8, 3072]]],
  'lora-cascade': [[['lora_prior_unet_down_blocks_0_2_attention_attn_in_proj_weight.lora_down.weight', 8, 2048]]],
  'lora-motion': [
    [
      [
        'down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight',
        8,
        320,
      ],
    ],
  ],
  'embedding-sd1': [[['emb_params', 4, 768]], [['<cat-toy>', 768]]],
  'embedding-sd2': [[['emb_params', 4, 1024]]],
  'embedding-sdxl': [
    [
      ['clip_l', 4, 768],
      ['clip_g', 4, 1280],
    ],
    [['clip_g', 4, 1280]],
  ],
  'embedding-sd3': [
    [
      ['clip_l', 4, 768],
      ['clip_g', 4, 1280],
      ['t5xxl', 4, 4096],
    ],
  ],
  'embedding-flux': [
    [
      ['clip_l', 4, 768],
      ['t5xxl', 4, 4096],
    ],
  ],
  upscaler: [['model.0.weight', 'model.1.sub.0.RDB1.conv1.0.weight']],
  'upscaler-compact': [['body.0.weight', 'body.1.weight', 'body.2.weight']],
  'upscaler-swinir': [
    ['conv_first.weight', 'layers.0.residual_group.blocks.0.attn.qkv.weight'],
    ['layers.0.residual_group.blocks.0.attn.logit_scale', 'patch_embed.proj.weight'],
    ['layers.0.residual_group.blocks.0.attn.aligned_relative_position_index'],
  ],
  'upscaler-omnisr': [['residual_layer.0.residual_layer.0.layer.0.fn.0.weight']],
  'upscaler-span': [['block_1.c1_r.sk.weight']],
  'upscaler-plksr': [['feats.0.weight', 'feats.1.lk.conv.weight']],
  'upscaler-atd': [['layers.0.residual_group.layers.0.sigma']],
  'upscaler-scunet': [['m_head.0.weight', 'm_body.0.trans_block.msa.relative_position_params']],
  gfpgan: [['params_ema/stylegan_decoder.x', 'stylegan_decoder.style_conv1.x']],
  codeformer: [['params_ema/fuse_convs_dict.32.encode_enc.x']],
  gpen: [['ecd0.0.weight', 'generator.style.1.weight']],
  'face-detector': [['ClassHead.0.conv1x1.bias', 'LandmarkHead.0.conv1x1.weight', 'BboxHead.0.conv1x1.weight']],
  'face-parser': [['encoder.0.conv2d.weight', 'body.0.conv1.conv2d.weight', 'out_mask_conv.conv2d.weight']],
  'face-recognition': [['conv1.weight', 'layer1.0.bn0.weight']],
  detector: [['model.0.conv.weight', 'model.22.cv2.0.0.conv.weight']],
  annotator: [
    ['model1_1.Mconv1_stage2_L1.weight', 'Mconv1_stage2_L1.weight', 'conv1_1.weight'],
    ['netVggOne.0.weight', 'netScoreOne.weight'],
    ['pretrained.model.blocks.0.attn.qkv.weight', 'scratch.refinenet1.out_conv.weight'],
    ['pretrained.blocks.0.attn.qkv.weight', 'depth_head.scratch.refinenet1.out_conv.weight'],
    ['model0.1.weight', 'model1.0.weight', 'model4.1.weight'],
    ['backbone.features.0.0.weight', 'block15.conv1.0.weight'],
  ],
  'annotator-other': [
    ['core.core.pretrained.model.blocks.0.attn.qkv.weight', 'conv2.weight'],
    ['backbone.patch_embed1.proj.weight', 'decode_head.conv_seg.weight'],
    ['sem_seg_head.pixel_decoder.input_proj.0.0.weight', 'backbone.patch_embed.proj.weight'],
    ['decoder.conv2.weight', 'encoder.original_model.conv_stem.weight'],
    [
      'transformer.decoder.layers.0.ca_text.in_proj_weight',
      'bert.embeddings.word_embeddings.weight',
      'backbone.0.patch_embed.proj.weight',
    ],
  ],
  captioner: [['visual_encoder.blocks.0.attn.qkv.weight', 'text_decoder.bert.embeddings.word_embeddings.weight']],
  tagger: [
    ['norm.weight', 'head.weight', 'blocks.0.attn.qkv.weight', 'patch_embed.proj.weight'],
    ['n_Conv_0.weight', 'n_Conv_1.weight'],
  ],
  aesthetic: [['layers.0.weight', 'layers.2.weight', 'layers.4.weight']],
  motion: [
    ['down_blocks.0.motion_modules.0.temporal_transformer.norm.weight'],
    ['down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe'],
  ],
  interpolation: [['block0.conv0.0.0.weight', 'contextnet.conv1.conv1.0.weight', 'flownet.block0.conv0.0.0.weight']],
  'inpainter-lama': [['generator.model.1.ffc.convl2l.weight']],
  background: [['bb.patch_embed.proj.weight', 'squeeze_module.0.conv_in.weight'], ['stage1.rebnconvin.conv_s1.weight']],
  'layer-diffusion': [['model.down_blocks.0.resnets.0.norm1.weight', 'model.latent_conv_in.weight']],
  ella: [['connector.latents', 'connector.time_aware.weight']],
  kandinsky: [
    ['add_embedding.image_norm.weight', 'encoder_hid_proj.image_embeds.weight', 'conv_in.weight'],
    ['prd_embedding', 'clip_mean', 'transformer_blocks.0.attn1.to_q.weight'],
    ['prd_embedding', 'proj_to_clip_embeddings.weight'],
  ],
  amused: [['transformer_layers.0.attention.query.weight', 'embed.token_embedding.weight']],
  'flux-2': [
    [
      'double_stream_modulation_img.lin.weight',
      'double_blocks.0.img_attn.qkv.weight',
      'single_blocks.0.linear1.weight',
    ],
  ],
  nunchaku: [
    [
      'transformer_blocks.0.qkv_proj.qweight',
      'transformer_blocks.0.qkv_proj.wscales',
      'single_transformer_blocks.0.qkv_proj.qweight',
    ],
  ],
  bagel: [['language_model.model.layers.0.self_attn.q_proj.weight', 'vae2llm.weight', 'latent_pos_embed.pos_embed']],
  janus: [['gen_vision_model.encoder.conv_in.weight', 'language_model.model.layers.0.self_attn.q_proj.weight']],
  'training-state': [['state/0/exp_avg', 'state/0/exp_avg_sq']],
  classifier: [['conv1.weight', 'layer1.0.conv1.weight', 'fc.weight']],
  speech: [['model.encoder.conv1.weight', 'model.decoder.layers.0.encoder_attn.q_proj.weight']],
  'imagen-pytorch': [['unets.0.init_conv.convs.0.weight', 'unets.0.to_time_hiddens.1.weight']],
  'vae-audio': [['vocoder.backbone.channel_layers.0.0.bias'], ['vocoder.activation_post.downsample.lowpass.filter']],
  unet: [
    ['model.diffusion_model.input_blocks.0.0.weight', 'model.diffusion_model.out.2.bias'],
    ['up_blocks.1.attentions.0.proj_in.weight'],
  ],
  transformer: [['transformer_blocks.0.attn.add_q_proj.weight', 'transformer_blocks.0.attn.to_q.weight']],
};
