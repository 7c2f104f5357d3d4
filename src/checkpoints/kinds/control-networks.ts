/** Networks that steer a model, of other families and of this program's. */

import { type FileKind, steers } from './file-kind.ts';

export const controlNetworks: readonly FileKind[] = [
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
];
