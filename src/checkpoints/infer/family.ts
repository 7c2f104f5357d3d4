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
import { unknown } from './shapes.ts';

interface Family {
  readonly params: Partial<DiffusionParams>;
  readonly assumed: readonly string[];
}

/** Markers of models with other noise than DDPM's. */
const unsupported: ReadonlyMap<string, string> = new Map([
  ['edm_mean', 'an EDM model with a mean and deviation for each channel (Playground v2.5)'],
  ['edm_vpred.sigma_max', 'an EDM model with v-prediction (CosXL)'],
  ['ztsnr', 'a schedule with zero terminal signal-to-noise ratio'],
]);

const spreadName = 'model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias';
/** Population standard deviation above which SD 2.x predicts v. */
const vSpread = 0.09;

async function predictsV(source: WeightSource): Promise<boolean | undefined> {
  if (!source.entries.has(spreadName)) return undefined;
  const { data } = toFloat32(await source.read(spreadName));
  const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
  return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length) > vSpread;
}

/** Throws `model-unknown` for models whose sampling is not supported. */
export async function familyParams(
  source: WeightSource,
  unet: UNetConfig,
  condition: NetworkConfig | ComposedConfig | null,
): Promise<Family> {
  for (const [name, what] of unsupported)
    if (source.entries.has(name))
      throw unknown(source.label, `the tensor ${name} marks ${what}, which is not supported`);
  const marked = source.entries.has('v_pred') ? { parameterization: 'v' as const } : {};
  if (condition?.kind === 'composed')
    return { params: { scale_factor: 0.13025, image_size: 128, ...marked }, assumed: ['image_size 128'] };
  const isV2 = condition?.kind === 'clip_text' && condition.layers_skipped > 0 && unet.use_linear_in_transformer;
  if (!isV2) return { params: marked, assumed: [] };
  const isV = unet.in_channels === 4 ? await predictsV(source) : false;
  const params = isV ? { parameterization: 'v' as const, image_size: 96 } : { image_size: 64 };
  return {
    params: { ...params, ...marked },
    assumed: [
      `parameterization ${isV ? 'v' : 'eps'}${isV === undefined ? ' (give the YAML of a v-prediction model)' : ''}`,
    ],
  };
}
