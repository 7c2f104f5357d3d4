/** Nodes that write models into the output folder. As in ComfyUI they show nothing. */

import { defineNode, type NodeType } from '../definition.ts';
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

export const modelFileNodes: readonly NodeType[] = [checkpointSaveNode, clipSaveNode, vaeSaveNode, modelSaveNode];
