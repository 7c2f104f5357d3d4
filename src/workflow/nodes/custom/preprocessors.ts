/** Preprocessors of comfyui_controlnet_aux that need no network of their own, and those that clients look for and this program does not have. */

import { StableDiffusionError } from '../../../errors.ts';
import { defineNode, type NodeType } from '../../definition.ts';
import { mapped, withChannels } from '../../grids.ts';
import { fitSize } from '../../sampling/entry-inputs.ts';
import { toBatch } from '../../sampling/to-batch.ts';

const module = 'custom_nodes.comfyui_controlnet_aux';
const category = 'ControlNet Preprocessors';
const resolution = ['INT', { default: 512, min: 64, max: 16384, step: 64 }] as const;

const inpaintPreprocessorNode = defineNode({
  name: 'InpaintPreprocessor',
  displayName: 'Inpaint Preprocessor',
  category: `${category}/others`,
  module,
  required: { image: ['IMAGE'], mask: ['MASK'] },
  optional: { black_pixel_for_xinsir_cn: ['BOOLEAN', { default: false }] },
  outputs: ['IMAGE'],
  run({ image, mask, black_pixel_for_xinsir_cn: black }) {
    const rgb = withChannels(image, 3);
    const [batch = 1, height = 1, width = 1] = rgb.shape;
    const [count = 1, h = 1, w = 1] = mask.shape;
    const sized = toBatch(fitSize({ ...mask, shape: [count, 1, h, w] }, height, width), batch);
    return [mapped(rgb, (value, i) => ((sized.data[Math.floor(i / 3)] as number) > 0.5 ? (black ? 0 : -1) : value))];
  },
});

const depthAnythingV2PreprocessorNode = defineNode({
  name: 'DepthAnythingV2Preprocessor',
  displayName: 'Depth Anything V2 - Relative',
  category: `${category}/Normal and Depth Estimators`,
  module,
  required: { image: ['IMAGE'] },
  optional: {
    ckpt_name: [
      [
        'depth_anything_v2_vitg.pth',
        'depth_anything_v2_vitl.pth',
        'depth_anything_v2_vitb.pth',
        'depth_anything_v2_vits.pth',
      ],
      { default: 'depth_anything_v2_vitl.pth' },
    ],
    resolution,
  },
  outputs: ['IMAGE'],
  run() {
    throw new StableDiffusionError(
      'file-unsupported',
      'Depth Anything V2 is not supported. Make the depth map elsewhere, and give it as the picture of the control network.',
    );
  },
});

export const preprocessorNodes: readonly NodeType[] = [inpaintPreprocessorNode, depthAnythingV2PreprocessorNode];
