/**
 * Families of models and networks that this program does not run, by names of tensors that they alone have: as in `CHECKPOINT_KEY_NAMES` of
 * diffusers (loaders/single_file_utils.py) and `detect_unet_config` of ComfyUI (comfy/model_detection.py).
 */

export interface OtherFamily {
  /** For programs: stable. */
  readonly id: string;
  /** For people, with its article: `an AuraFlow model`. */
  readonly name: string;
  /** What it is for, where it makes no pictures alone. */
  readonly use?: string;
  /** Parts of names; one of them is enough. */
  readonly holds: readonly string[];
}

const cleans = 'It repairs faces and makes no pictures alone.';
const reads = 'It encodes texts and makes no pictures alone.';

/** In the order in which they are tried: what is more particular comes first. */
export const otherFamilies: readonly OtherFamily[] = [
  {
    id: 'svd',
    name: 'a Stable Video Diffusion model',
    holds: ['time_mixer.mix_factor', 'temporal_transformer_blocks.'],
  },
  { id: 'hunyuan-video', name: 'a HunyuanVideo model', holds: ['individual_token_refiner.'] },
  { id: 'hunyuan-dit', name: 'a Hunyuan-DiT model', holds: ['text_embedding_padding'] },
  { id: 'auraflow', name: 'an AuraFlow model', holds: ['double_layers.0.attn.'] },
  { id: 'imagen-pytorch', name: 'a model of imagen-pytorch', holds: ['to_time_hiddens.', 'null_text_embed'] },
  { id: 'hidream', name: 'a HiDream model', holds: ['double_stream_blocks.0.block.'] },
  {
    id: 'qwen-image',
    name: 'a Qwen-Image model',
    holds: ['transformer_blocks.0.attn.add_q_proj.', 'transformer_blocks.0.txt_mlp.'],
  },
  { id: 'lumina', name: 'a Lumina or Z-Image model', holds: ['cap_embedder.0.', 'cap_embedder.1.'] },
  { id: 'ltx-video', name: 'an LTX-Video model', holds: ['patchify_proj.'] },
  { id: 'mochi', name: 'a Mochi model', holds: ['blocks.0.attn.qkv_x.'] },
  { id: 'wan', name: 'a Wan model', holds: ['head.modulation', 'decoder.middle.0.residual.0.gamma'] },
  { id: 'cosmos', name: 'a Cosmos model', holds: ['blocks.block0.blocks.0.block.attn.'] },
  {
    id: 'cascade',
    name: 'a Stable Cascade or Würstchen model',
    holds: ['clip_txt_mapper.', 'clip_txt_pooled_mapper', 'effnet_mapper'],
  },
  { id: 'dc-autoencoder', name: 'an autoencoder of Sana (DC-AE)', holds: ['decoder.stages.1.op_list.'] },
  { id: 'gfpgan', name: 'a GFPGAN or RestoreFormer network', use: cleans, holds: ['stylegan_decoder.'] },
  { id: 'codeformer', name: 'a CodeFormer network', use: cleans, holds: ['fuse_convs_dict.'] },
  {
    id: 'language-model',
    name: 'a language model',
    use: reads,
    holds: ['model.layers.0.self_attn.q_proj.', 'language_model.layers.0.'],
  },
];
