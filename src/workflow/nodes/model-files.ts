/** Nodes that write models into the output folder. As in ComfyUI they show nothing. */

import { defineNode, experimentalFlags, type NodeType } from '../definition.ts';
import { saveExtractedLora } from '../extract-lora.ts';
import { saveCheckpoint, saveClip, saveModel, saveVae } from '../save-model.ts';

const common = {
  category: 'advanced/model_merging',
  module: 'comfy_extras.nodes_model_merging',
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
} as const;

const checkpointSaveNode = defineNode({
  ...common,
  name: 'CheckpointSave',
  displayName: 'Save Checkpoint',
  required: {
    model: ['MODEL'],
    clip: ['CLIP'],
    vae: ['VAE'],
    filename_prefix: ['STRING', { default: 'checkpoints/ComfyUI' }],
  },
  async run({ model, clip, vae, filename_prefix }, context) {
    await saveCheckpoint({ model, clip, vae }, filename_prefix, context);
    return [];
  },
});

const modelSaveNode = defineNode({
  ...common,
  name: 'ModelSave',
  displayName: 'ModelSave',
  required: { model: ['MODEL'], filename_prefix: ['STRING', { default: 'diffusion_models/ComfyUI' }] },
  async run({ model, filename_prefix }, context) {
    await saveModel(model, filename_prefix, context);
    return [];
  },
});

const clipSaveNode = defineNode({
  ...common,
  name: 'CLIPSave',
  displayName: 'CLIPSave',
  required: { clip: ['CLIP'], filename_prefix: ['STRING', { default: 'clip/ComfyUI' }] },
  async run({ clip, filename_prefix }, context) {
    await saveClip(clip, filename_prefix, context);
    return [];
  },
});

const vaeSaveNode = defineNode({
  ...common,
  name: 'VAESave',
  displayName: 'VAESave',
  required: { vae: ['VAE'], filename_prefix: ['STRING', { default: 'vae/ComfyUI_vae' }] },
  async run({ vae, filename_prefix }, context) {
    await saveVae(vae, filename_prefix, context);
    return [];
  },
});

const loraSaveNode = defineNode({
  name: 'LoraSave',
  displayName: 'Extract and Save Lora',
  category: '_for_testing',
  module: 'comfy_extras.nodes_lora_extract',
  required: {
    filename_prefix: ['STRING', { default: 'loras/ComfyUI_extracted_lora', multiline: false }],
    rank: ['INT', { default: 8, min: 1, max: 4096, step: 1 }],
    lora_type: ['COMBO', { multiselect: false, options: ['standard', 'full_diff'] }],
    bias_diff: ['BOOLEAN', { default: true }],
  },
  optional: { model_diff: ['MODEL', {}], text_encoder_diff: ['CLIP', {}] },
  hidden: { prompt: 'PROMPT', extra_pnginfo: 'EXTRA_PNGINFO' },
  outputs: [],
  outputNode: true,
  flags: experimentalFlags,
  async run({ filename_prefix, rank, lora_type, bias_diff, model_diff, text_encoder_diff }, context) {
    const difference = { model: model_diff, clip: text_encoder_diff };
    const options = { rank, full: lora_type === 'full_diff', withBiases: bias_diff };
    if (model_diff || text_encoder_diff) await saveExtractedLora(difference, filename_prefix, options, context);
    return [];
  },
});

export const modelFileNodes: readonly NodeType[] = [
  checkpointSaveNode,
  clipSaveNode,
  vaeSaveNode,
  modelSaveNode,
  loraSaveNode,
];
