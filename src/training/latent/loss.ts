/** The loss of a whole latent diffusion model as a graph: the condition's encoder, the UNet, and the diffusion loss (`LatentDiffusion.forward`). */

import type { LatentDiffusionConfig } from '../../config/latent-diffusion-config.ts';
import { betasOf } from '../../diffusion/model-schedule.ts';
import { ddpmBuffers } from '../../diffusion/noise-schedule.ts';
import { denoiserChannels, type DenoiserConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { constant } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { dropUnused } from '../../graph/simplify.ts';
import { type DropoutSite, type InputSpec, type Params, type Sym, trace } from '../../graph/trace.ts';
import { need } from '../../models/trace-network.ts';
import { ddpmUNet } from '../../models/ddpm-unet.ts';
import { unet, type UNetInputs } from '../../models/unet.ts';
import { float32 } from '../../tensor/tensor.ts';
import { noisedCondition } from './noised-condition.ts';
import { type Conditioning, withConcat } from './conditioning.ts';
import { diffusionLoss, type DiffusionLossConfig, type LossVariants } from '../objective/diffusion.ts';
import { partModules } from '../../weights/part-prefixes.ts';

export interface LatentDiffusionObjective {
  readonly config: LatentDiffusionConfig;
  readonly conditioning: Conditioning;
  readonly variants: LossVariants;
  /** Inputs of the loss for one batch. */
  readonly size: { readonly batch: number; readonly height: number; readonly width: number };
}

function lossConfig({ config, variants }: LatentDiffusionObjective): DiffusionLossConfig {
  return {
    schedule: ddpmBuffers(betasOf(config), {
      vPosterior: config.v_posterior,
      parameterization: config.parameterization,
    }),
    parameterization: config.parameterization,
    lossType: config.loss_type,
    simpleWeight: config.l_simple_weight,
    elboWeight: config.original_elbo_weight,
    ...variants,
  };
}

/** The network of any kind. Throws `invalid-argument` for DeepFloyd IF's, which learns its variance. */
function denoise(p: Params, config: DenoiserConfig, { x, timesteps, context, y }: UNetInputs): Sym {
  if (config.kind === 'if_unet')
    throw new StableDiffusionError('invalid-argument', "DeepFloyd IF's UNets are not trained here.");
  return config.kind === 'unet' ? unet(p, config, { x, timesteps, context, y }) : ddpmUNet(p, config, { x, timesteps });
}

/**
 * Inputs: x0 (scaled latents) and noise [b, c, h, w], t int64 [b], offset [b, c, 1, 1] and perturbation where the loss has them, and those
 * of the condition. With `onDropout` it is a graph for training: a mask for each dropout is an input. Outputs: loss, loss_simple, loss_vlb and the like, scalars. Parameters have their names in a CompVis checkpoint.
 */
export function traceLatentDiffusionLoss(
  objective: LatentDiffusionObjective,
  onDropout?: (site: DropoutSite) => void,
): Graph {
  const { config, conditioning, variants, size } = objective;
  const { batch, height, width } = size;
  const channels = denoiserChannels(config.unet_config);
  const latent: InputSpec = { dtype: 'float32', shape: [batch, channels, height, width] };
  const inputs: Record<string, InputSpec> = {
    x0: latent,
    noise: latent,
    t: { dtype: 'int64', shape: [batch] },
    ...(variants.noiseOffset ? { offset: { dtype: 'float32', shape: [batch, channels, 1, 1] } } : {}),
    ...(variants.inputPerturbation ? { perturbation: latent } : {}),
    ...conditioning.inputs(batch),
  };
  const graph = trace(inputs, (given, p) => {
    // A frozen encoder is in evaluation.
    const { builder } = p;
    builder.onDropout = config.cond_stage_trainable ? onDropout : undefined;
    const condition = noisedCondition(config, conditioning.trace(p, given), need(given, 't'));
    builder.onDropout = onDropout;
    const table = [config.timesteps];
    const x0 = need(given, 'x0');
    const logvar = config.learn_logvar
      ? p.get('logvar', table)
      : config.logvar_init === 0
        ? undefined
        : constant(x0, float32(table, new Float32Array(config.timesteps).fill(config.logvar_init)));
    const { offset, perturbation } = given;
    const { loss, metrics } = diffusionLoss(
      lossConfig(objective),
      {
        x0,
        noise: need(given, 'noise'),
        t: need(given, 't'),
        ...(offset ? { offset } : {}),
        ...(perturbation ? { perturbation } : {}),
        ...(logvar ? { logvar } : {}),
      },
      (x, timesteps) =>
        denoise(p.under(partModules.unet), config.unet_config, {
          x: withConcat(x, condition),
          timesteps,
          context: condition.context,
          y: condition.y,
        }),
    );
    return { loss, ...metrics };
  });
  return dropUnused(graph);
}
