/** The table of nodes: a new one is one row in a file of this folder. */

import { type NodeTable, nodeTable } from '../definition.ts';
import { animationNodes } from './animations.ts';
import { batchNodes } from './batches.ts';
import { blockMergingNodes } from './block-merging.ts';
import { conditioningNodes } from './conditioning.ts';
import { controlNodes } from './control.ts';
import { inpaintNodes } from './custom/inpaint.ts';
import { ipAdapterNodes } from './custom/ip-adapter.ts';
import { preprocessorNodes } from './custom/preprocessors.ts';
import { qualityOfLifeNodes } from './custom/quality-of-life.ts';
import { sharedLoaderNodes } from './custom/shared-loaders.ts';
import { toolingNodes } from './custom/tooling.ts';
import { wasNodes } from './custom/was.ts';
import { customSamplingNodes } from './custom-sampling.ts';
import { groundingNodes } from './grounding.ts';
import { guidancePatchNodes } from './guidance-patches.ts';
import { imageFileNodes } from './image-files.ts';
import { hookConditioningNodes } from './hook-conditionings.ts';
import { hookKeyframeNodes } from './hook-keyframes.ts';
import { hookNodes } from './hooks.ts';
import { hypernetworkNodes } from './hypernetworks.ts';
import { imageEncoderNodes } from './image-encoders.ts';
import { imageNodes } from './images.ts';
import { latentMixingNodes } from './latent-mixing.ts';
import { latentNodes } from './latents.ts';
import { loaderNodes } from './loaders.ts';
import { maskNodes } from './masks.ts';
import { mergingNodes } from './merging.ts';
import { modelSamplingNodes } from './model-sampling.ts';
import { modelFileNodes } from './model-files.ts';
import { networkPatchNodes } from './network-patches.ts';
import { pictureEffectNodes } from './picture-effects.ts';
import { attentionFactorNodes } from './attention-factors.ts';
import { guidanceFilterNodes } from './guidance-filters.ts';
import { latentOperationNodes } from './latent-operations.ts';
import { pictureColorNodes } from './picture-colors.ts';
import { pictureSizeNodes } from './picture-sizes.ts';
import { primitiveNodes } from './primitives.ts';
import { stepCacheNodes } from './step-caches.ts';
import { styleModelNodes } from './style-models.ts';
import { stringNodes } from './strings.ts';
import { samplerNodes } from './samplers.ts';
import { samplingNodes } from './sampling.ts';
import { schedulerNodes } from './schedulers.ts';
import { textNodes } from './text.ts';
import { upscaleNodes } from './upscale.ts';
import { vaeNodes } from './vae.ts';

/** Every node by its name. */
export const nodes: NodeTable = nodeTable([
  ...loaderNodes,
  ...textNodes,
  ...conditioningNodes,
  ...controlNodes,
  ...hookNodes,
  ...hookKeyframeNodes,
  ...hookConditioningNodes,
  ...groundingNodes,
  ...styleModelNodes,
  ...latentNodes,
  ...latentMixingNodes,
  ...batchNodes,
  ...vaeNodes,
  ...samplingNodes,
  ...customSamplingNodes,
  ...samplerNodes,
  ...schedulerNodes,
  ...modelSamplingNodes,
  ...guidancePatchNodes,
  ...stepCacheNodes,
  ...networkPatchNodes,
  ...mergingNodes,
  ...blockMergingNodes,
  ...modelFileNodes,
  ...imageFileNodes,
  ...animationNodes,
  ...imageNodes,
  ...pictureEffectNodes,
  ...maskNodes,
  ...upscaleNodes,
  ...stringNodes,
  ...primitiveNodes,
  ...pictureSizeNodes,
  ...pictureColorNodes,
  ...latentOperationNodes,
  ...guidanceFilterNodes,
  ...attentionFactorNodes,
  ...imageEncoderNodes,
  ...hypernetworkNodes,
  ...toolingNodes,
  ...inpaintNodes,
  ...ipAdapterNodes,
  ...preprocessorNodes,
  ...wasNodes,
  ...qualityOfLifeNodes,
  ...sharedLoaderNodes,
]);
