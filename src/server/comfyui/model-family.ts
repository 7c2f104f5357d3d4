/** What a model file is, in the words of comfyui-tooling-nodes: `sd15`, `sd20`, `sdxl`, … Only names and shapes are read. */

import { openCheckpointAt } from '../../checkpoints/open-checkpoint-node.ts';
import { detectNetwork } from '../../checkpoints/detect.ts';
import { ldmUNet, type UNetConfig } from '../../config/network-config.ts';
import { openWeightsAt } from '../../formats/open-weights-node.ts';

export interface ModelFamily {
  readonly base_model: string;
  readonly is_inpaint?: boolean;
  readonly type?: string;
}

/** SDXL's UNets take a vector besides the context, the refiner one encoder's context; v2 differs from v1 by its linear layers. */
function nameOf({ context_dim, adm_in_channels, use_linear_in_transformer }: UNetConfig): string {
  if (context_dim === null) return 'unknown';
  if (typeof adm_in_channels === 'number') return context_dim === 1280 ? 'sdxl-refiner' : 'sdxl';
  return use_linear_in_transformer ? 'sd20' : 'sd15';
}

function familyOf(unet: UNetConfig, prediction: string | undefined): ModelFamily {
  const base = nameOf(unet);
  return {
    base_model: base,
    is_inpaint: unet.in_channels > unet.out_channels,
    ...(base === 'sdxl' ? { type: prediction === 'v' ? 'v-prediction' : 'eps' } : {}),
  };
}

async function readUNet(path: string): Promise<ModelFamily> {
  const source = await openWeightsAt(path);
  try {
    const { config } = detectNetwork(source);
    return config.kind === 'unet' ? familyOf(config, undefined) : { base_model: 'unknown' };
  } finally {
    await source.close();
  }
}

/** A whole model or a UNet alone; `unknown` for every other file, and for one that cannot be read. */
export async function readFamily(path: string): Promise<ModelFamily> {
  try {
    const { config, parts } = await openCheckpointAt(path);
    await parts.unet.close();
    return familyOf(ldmUNet(config.unet_config), config.parameterization);
  } catch {
    return readUNet(path).catch(() => ({ base_model: 'unknown' }));
  }
}
