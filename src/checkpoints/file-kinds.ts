/**
 * The kinds of files that people have, by names of tensors that they alone have: models of families that this program does not run, and single
 * networks. Names as in `detect_unet_config`, `detect_te_model` and `VAE` of ComfyUI (comfy/model_detection.py, comfy/sd.py),
 * `CHECKPOINT_KEY_NAMES` of diffusers (loaders/single_file_utils.py), and the published files.
 */

/** Parts of names that one file must have. `^` stands for the start of a name, behind `model.diffusion_model.` and its like. */
export type Mark = string | readonly string[];

export interface FileKind {
  /** For programs: stable. */
  readonly id: string;
  /** For people, with its article: `an AuraFlow model`. */
  readonly name: string;
  /** What to do with it, a sentence. Default: what this program makes pictures with. */
  readonly use?: string;
  /** One of them is enough; one that is a list needs all of its parts. */
  readonly marks: readonly Mark[];
}

export const steers = 'Give it with --control, together with a model.';
const listed = (models: readonly string[]): string => models.join(', ').replace(/, ([^,]*)$/, ' and $1');
const prompts = (...models: readonly string[]): string =>
  `It reads prompts for ${listed(models)}, which this program does not run.`;
const latents = (...models: readonly string[]): string =>
  `It encodes pictures for ${listed(models)}, which this program does not run.`;
const enlarges = 'Enlarge pictures with it: sd upscale.';
const otherUpscaler = 'It enlarges pictures, with an architecture that sd upscale does not have.';
const maps = 'Draw maps for control networks with it: sd preprocess --model.';
const otherMaps = 'It draws maps of pictures, and sd preprocess does not have its architecture.';
const faces = 'Make faces clear with it: sd restore-faces.';
const otherFaces = 'It repairs faces; sd restore-faces takes CodeFormer.';
const parts = 'It finds the parts of a picture and makes none.';
const reads = 'It describes or judges pictures and makes none.';
const moves = 'It moves pictures and makes none alone.';

/** Kinds whose files may hold a LoRA among others: they are tried before LoRAs. */
export const kindsWithLoras: readonly FileKind[] = [
  {
    id: 'lora-motion',
    name: 'a motion LoRA (AnimateDiff)',
    use: moves,
    marks: [
      ['motion_modules.', '_lora.'],
      ['motion_modules.', '.lora_'],
    ],
  },
  {
    id: 'control-lora',
    name: 'a Control-LoRA',
    use: 'This program takes ControlNets whose weights are whole: --control.',
    marks: ['^lora_controlnet'],
  },
  {
    id: 'photomaker',
    name: 'a PhotoMaker adapter',
    use: 'This program has no PhotoMaker.',
    marks: ['^id_encoder.', '^id_encoder/'],
  },
  {
    id: 'ip-adapter-flux',
    name: 'an IP-Adapter for Flux',
    marks: ['ip_adapter_double_stream', ['ip_adapter.', '.norm_added_k.']],
  },
  {
    id: 'ip-adapter',
    name: 'an IP-Adapter',
    use: 'Give it with --ip-adapter, together with a model.',
    marks: ['^ip_adapter.', '^image_proj.', '^image_proj/', '^ip_adapter/'],
  },
];

/**
 * Kinds whose files hold no network of this program, in the order in which they are tried: what is more particular comes first.
 */
export const fileKinds: readonly FileKind[] = [
  // Control networks.
  { id: 'controlnet-qwen-image', name: 'a ControlNet for Qwen-Image', marks: [['controlnet_blocks.', '.img_mlp.']] },
  {
    id: 'controlnet-flux',
    name: 'a ControlNet for Flux',
    marks: ['controlnet_x_embedder.', 'controlnet_double_blocks.', ['controlnet_blocks.', 'double_blocks.']],
  },
  {
    id: 'controlnet-sd3',
    name: 'a ControlNet for Stable Diffusion 3',
    marks: ['^pos_embed_input.', ['^controlnet_blocks.', 'transformer_blocks.']],
  },
  { id: 'controlnet-lllite', name: 'a ControlNet-LLLite', use: steers, marks: ['lllite_unet_'] },
  { id: 'flux-redux', name: 'a Redux adapter for Flux', marks: ['redux_up.', 'redux_down.'] },
  { id: 'pulid', name: 'a PuLID adapter', use: 'This program has no PuLID.', marks: ['pulid_encoder.', 'pulid_ca.'] },
  {
    id: 'ella',
    name: 'an ELLA connector',
    use: 'This program has no ELLA.',
    marks: ['connector.latents', '^time_aware_'],
  },

  // Models of pictures, films, shapes and sounds.
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

  // Autoencoders of other families.
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

  // Control networks of this program's models.
  {
    id: 'controlnet',
    name: 'a ControlNet',
    use: steers,
    marks: ['^control_model.', '^controlnet_cond_embedding.', '^input_hint_block.'],
  },
  {
    id: 't2i-adapter',
    name: 'a T2I-Adapter',
    use: steers,
    marks: ['^adapter.', ['^conv_in.', '^body.0.resnets.'], ['^conv_in.', '^body.0.in_conv.']],
  },
  { id: 'gligen', name: 'the networks of GLIGEN', use: steers, marks: ['^position_net.'] },

  // Networks that change pictures.
  {
    id: 'upscaler',
    name: 'an ESRGAN upscaler',
    use: enlarges,
    marks: [['body.', '.rdb1.'], '.RDB1.', '^model.1.sub.', '^sub.0.RDB1.'],
  },
  {
    id: 'upscaler-swinir',
    name: 'a SwinIR, DAT or HAT upscaler',
    use: 'SwinIR and DAT enlarge pictures here: sd upscale.',
    marks: ['^conv_after_body.', '.residual_group.blocks.'],
  },
  {
    id: 'upscaler-scunet',
    name: 'a SCUNet network',
    use: 'Clean pictures with it: sd upscale.',
    marks: [['^m_head.', '^m_tail.'], '^m_body.0.trans_block.'],
  },
  { id: 'upscaler-atd', name: 'an ATD upscaler', use: otherUpscaler, marks: ['.residual_group.layers.'] },
  {
    id: 'upscaler-omnisr',
    name: 'an OmniSR upscaler',
    use: otherUpscaler,
    marks: ['residual_layer.0.residual_layer.'],
  },
  { id: 'upscaler-span', name: 'a SPAN upscaler', use: otherUpscaler, marks: ['block_1.c1_r.'] },
  { id: 'upscaler-plksr', name: 'a PLKSR upscaler', use: otherUpscaler, marks: ['.lk.conv.', ['^feats.0.', '.lk.']] },
  { id: 'gfpgan', name: 'a GFPGAN or RestoreFormer network', use: otherFaces, marks: ['stylegan_decoder.'] },
  { id: 'gpen', name: 'a GPEN network', use: otherFaces, marks: ['ecd0.0.'] },
  { id: 'codeformer', name: 'a CodeFormer network', use: faces, marks: ['fuse_convs_dict.'] },
  { id: 'face-detector', name: 'a RetinaFace detector', use: `${faces} --detector`, marks: ['ClassHead.0.'] },
  {
    id: 'face-parser',
    name: 'a ParseNet network',
    use: 'It finds the parts of faces; sd restore-faces does without.',
    marks: ['out_mask_conv.'],
  },
  {
    id: 'inpainter-lama',
    name: 'a LaMa network',
    use: 'It fills holes in pictures; this program has no LaMa.',
    marks: ['.ffc.convl2l.'],
  },
  { id: 'interpolation', name: 'a RIFE network', use: moves, marks: ['^flownet.', ['^contextnet.', '^block0.']] },
  { id: 'motion', name: 'a motion module (AnimateDiff)', use: moves, marks: ['motion_modules.'] },

  // Networks that look at pictures.
  {
    id: 'segment-anything',
    name: 'a Segment Anything network (SAM)',
    use: parts,
    marks: [
      'mask_decoder.iou_token.',
      'sam_mask_decoder.',
      '^prompt_encoder.point_embeddings.',
      '^memory_attention.layers.',
    ],
  },
  {
    id: 'annotator',
    name: 'a network of a preprocessor',
    use: maps,
    marks: [
      'Mconv1_stage2_L1.',
      '^netVggOne.',
      ['^pretrained.model.', '^scratch.refinenet1.'],
      '^depth_head.scratch.',
      ['^model0.1.', '^model4.1.'],
      ['^backbone.features.', '^block15.'],
    ],
  },
  {
    id: 'annotator-other',
    name: 'a network of a preprocessor',
    use: otherMaps,
    marks: [
      '^core.core.pretrained.',
      ['^backbone.patch_embed1.', '^decode_head.'],
      '^sem_seg_head.',
      'encoder.original_model.',
      '.ca_text.in_proj_weight',
    ],
  },
  {
    id: 'background',
    name: 'a network that cuts out the foreground',
    use: parts,
    marks: ['^squeeze_module.', '^stage1.rebnconvin.', '^bb.patch_embed.'],
  },
  {
    id: 'captioner',
    name: 'a BLIP network',
    use: reads,
    marks: [
      ['visual_encoder.', 'text_decoder.'],
      ['visual_encoder.blocks.', 'text_encoder.'],
    ],
  },
  {
    id: 'tagger',
    name: 'a network that tags pictures',
    use: reads,
    marks: ['^n_Conv_0.', ['^head.', '^patch_embed.proj.', '.attn.qkv.']],
  },
  {
    id: 'detector',
    name: 'a YOLO detector',
    use: parts,
    marks: ['model.22.cv2.', 'model.22.dfl.', 'model.23.cv2.', 'model.24.m.0.'],
  },
  {
    id: 'face-recognition',
    name: 'a network that recognises faces',
    use: reads,
    marks: [['^layer1.0.bn0.', '^conv1.']],
  },
  { id: 'dino', name: "DINO's image encoder", use: reads, marks: ['.layer_scale1.lambda1', '.ls1.gamma'] },
  { id: 'speech', name: 'a Whisper network', use: 'It writes down speech.', marks: ['.encoder_attn.q_proj.'] },
  {
    id: 'layer-diffusion',
    name: 'a network of LayerDiffuse',
    use: 'This program has no LayerDiffuse.',
    marks: ['latent_conv_in.'],
  },

  // Text encoders of other families.
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

/** Kinds that are tried where no network was recognised: parts of files, and files that differ from those this program knows. */
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
