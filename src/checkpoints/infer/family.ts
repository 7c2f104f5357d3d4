/**
 * The family of a complete checkpoint, from names and shapes: the UNet's parameterization, the scale of the latents, the
 * native size.
 *
 * Marker tensors: `v_pred` means v-prediction. SD 2.x at 768 (v) and 512 (eps) have the same names and shapes; as ComfyUI, the spread of
 * one norm's bias distinguishes them.
 */

import type { ComposedConfig } from '../../config/composed-conditioner.ts';
import type { DiffusionParams } from '../../config/latent-diffusion-config.ts';
import type { NetworkConfig, UNetConfig } from '../../config/network-config.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { partPrefixes } from '../../weights/part-prefixes.ts';

interface Family {
  readonly params: Partial<DiffusionParams>;
  readonly assumed: readonly string[];
}

/** The numbers of a small tensor. */
async function numbersOf(source: WeightSource, name: string): Promise<number[]> {
  return Array.from(toFloat32(await source.read(name)).data);
}

/** What marker tensors of SDXL's kind say: v-prediction, zero terminal signal, the noise of Playground v2.5 and of CosXL. */
export async function markedParams(source: WeightSource): Promise<Partial<DiffusionParams>> {
  const has = (name: string): boolean => source.entries.has(name);
  if (has('edm_mean') && has('edm_std'))
    return {
      noise_levels: { scaling: 'EDMScaling', sigma_min: 0.002, sigma_max: 80, sigma_data: 0.5 },
      latent_mean: await numbersOf(source, 'edm_mean'),
      latent_std: await numbersOf(source, 'edm_std'),
      scale_factor: 0.5,
    };
  if (has('edm_vpred.sigma_max') && has('edm_vpred.sigma_min')) {
    const [[max = 120], [min = 0.002]] = [
      await numbersOf(source, 'edm_vpred.sigma_max'),
      await numbersOf(source, 'edm_vpred.sigma_min'),
    ];
    return { noise_levels: { scaling: 'VScalingWithEDMcNoise', sigma_min: min, sigma_max: max, sigma_data: 1 } };
  }
  return {
    ...(has('v_pred') ? { parameterization: 'v' as const } : {}),
    ...(has('ztsnr') ? { rescale_betas_zero_snr: true } : {}),
  };
}

const spreadName = `${partPrefixes.unet}output_blocks.11.1.transformer_blocks.0.norm1.bias`;
/** Population standard deviation above which SD 2.x predicts v. */
const vSpread = 0.09;

async function predictsV(source: WeightSource): Promise<boolean | undefined> {
  if (!source.entries.has(spreadName)) return undefined;
  const { data } = toFloat32(await source.read(spreadName));
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length) > vSpread;
}

/** The parameters that tell a family. Reads a few small tensors. */
export async function familyParams(
  source: WeightSource,
  unet: UNetConfig,
  condition: NetworkConfig | ComposedConfig | null,
): Promise<Family> {
  const marked = await markedParams(source);
  if (condition?.kind === 'composed')
    return { params: { scale_factor: 0.13025, image_size: 128, ...marked }, assumed: ['image_size 128'] };
  const isV2 = condition?.kind === 'clip_text' && condition.layers_skipped > 0 && unet.use_linear_in_transformer;
  if (!isV2) return { params: marked, assumed: [] };
  // The published upscaler (7 channels and a noise level) predicts v, and has a scale of its own.
  if (unet.num_classes !== null && unet.in_channels === 7)
    return {
      params: { parameterization: 'v', scale_factor: 0.08333, image_size: 64, ...marked },
      assumed: ['parameterization v'],
    };
  const isV = unet.in_channels === 4 ? await predictsV(source) : false;
  const params = isV ? { parameterization: 'v' as const, image_size: 96 } : { image_size: 64 };
  return {
    params: { ...params, ...marked },
    assumed: [
      `parameterization ${isV ? 'v' : 'eps'}${isV === undefined ? ' (give the YAML of a v-prediction model)' : ''}`,
    ],
  };
}
