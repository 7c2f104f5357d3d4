/**
 * The loss that adapters of a text-to-image model are trained with, as a graph: the text encoder or its given output, the UNet, and the
 * diffusion loss; with prior preservation (Ruiz et al. 2023, DreamBooth) the loss of the class pictures of a batch is added to that of the others.
 */

import type { UNetConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { dim, multiplyDims } from '../../graph/dim.ts';
import { add, div, maximum, mean, mul, sub, sum } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { type InputSpec, type Params, type Sym, trace } from '../../graph/trace.ts';
import { unet, type UNetInputs } from '../../models/unet.ts';
import { type DiffusionLoss, diffusionLoss, type DiffusionLossConfig, elementLoss } from '../objective/diffusion.ts';
import { partModules } from '../../weights/part-prefixes.ts';
import { conditionInputs, type TextCondition, tracedCondition } from './text-condition.ts';

/** Prefixes of the networks' parameters, as in a CompVis checkpoint. */
export const { unet: unetPrefix, cond_stage: textPrefix } = partModules;

/** What predicts in the loss. */
export interface LossDenoiser {
  readonly inputs: Readonly<Record<string, InputSpec>>;
  /** Parameters have their names in a CompVis checkpoint, under `p`. */
  readonly predict: (p: Params, inputs: UNetInputs, given: Readonly<Record<string, Sym>>) => Sym;
}

export interface AdapterLossConfig {
  readonly unet: UNetConfig;
  /** Traces the text encoders, from `input_ids` and `input_ids_2`; without it their output is given as `context`, and as `y` where the UNet has a vector. */
  readonly text?: TextCondition | undefined;
  /** The layer of the text encoders, 1 (default) for the usual one. */
  readonly clipSkip?: number | undefined;
  readonly diffusion: DiffusionLossConfig;
  /** The network of the loss, and its inputs besides the loss's own. Default: the UNet. */
  readonly denoiser?: LossDenoiser;
  /** Prior preservation: the weight of the class pictures' loss. The input `instance` marks the rows that are not class pictures. */
  readonly priorWeight?: number;
}

/** Inputs of the graph: latents and noise [batch, c, h, w], timesteps, the condition, and further inputs of the loss. */
export function adapterInputs({
  unet: config,
  text,
  diffusion,
  priorWeight,
  denoiser,
}: AdapterLossConfig): Readonly<Record<string, InputSpec>> {
  if (config.context_dim === null)
    throw new StableDiffusionError(
      'invalid-argument',
      'Adapters are trained for models with a text encoder, whose UNet has a context.',
    );
  const batch = dim('batch');
  const unit = 2 ** (config.channel_mult.length - 1);
  const latent: InputSpec = {
    dtype: 'float32',
    shape: [batch, config.in_channels, multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))],
  };
  return {
    x0: latent,
    noise: latent,
    t: { dtype: 'int64', shape: [batch] },
    ...(text
      ? conditionInputs(text)
      : {
          context: { dtype: 'float32', shape: [batch, dim('tokens'), config.context_dim] },
          ...(config.adm_in_channels === null
            ? {}
            : { y: { dtype: 'float32', shape: [batch, config.adm_in_channels] } }),
        }),
    ...(diffusion.noiseOffset ? { offset: { dtype: 'float32', shape: [batch, config.in_channels, 1, 1] } } : {}),
    ...(diffusion.inputPerturbation ? { perturbation: latent } : {}),
    ...(priorWeight === undefined ? {} : { instance: { dtype: 'float32', shape: [batch] } }),
    ...denoiser?.inputs,
  } as const;
}

/** mse(instance rows) + weight · mse(class rows), each the mean over its own rows; min-SNR weighs the first alone, as in diffusers' script. */
export function priorPreservation(
  { prediction, target, weights }: Pick<DiffusionLoss, 'prediction' | 'target' | 'weights'>,
  instance: Sym,
  weight: number,
  lossType?: DiffusionLossConfig['lossType'],
): { readonly loss: Sym; readonly instance_loss: Sym; readonly prior_loss: Sym } {
  const each = mean(elementLoss(prediction, target, lossType), [1, 2, 3]); // [b]
  const over = (values: Sym, rows: Sym): Sym => div(sum(mul(values, rows)), maximum(sum(rows), 1));
  const instanceLoss = over(weights ? mul(each, weights) : each, instance);
  const priorLoss = over(each, sub(1, instance));
  return { loss: add(instanceLoss, mul(priorLoss, weight)), instance_loss: instanceLoss, prior_loss: priorLoss };
}

/** The graph of the loss: outputs `loss` and its parts as scalars, and `prediction`. Parameters have their names in a CompVis checkpoint. */
export function traceAdapterLoss(config: AdapterLossConfig): Graph {
  const { clipSkip = 1 } = config;
  return trace(adapterInputs(config), (given, p) => {
    const need = (name: string): Sym => given[name] as Sym;
    const condition: Pick<UNetInputs, 'context' | 'y'> = config.text
      ? tracedCondition(p, config.text, given, clipSkip)
      : { context: need('context'), ...(given['y'] ? { y: given['y'] } : {}) };
    const { offset, perturbation } = given;
    const inputs = {
      x0: need('x0'),
      noise: need('noise'),
      t: need('t'),
      ...(offset ? { offset } : {}),
      ...(perturbation ? { perturbation } : {}),
    };
    const predict: LossDenoiser['predict'] =
      config.denoiser?.predict ?? ((_, own) => unet(p.under(unetPrefix), config.unet, own));
    const result = diffusionLoss(config.diffusion, inputs, (x, timesteps) =>
      predict(p, { x, timesteps, ...condition }, given),
    );
    const { metrics, prediction } = result;
    if (config.priorWeight === undefined) return { loss: result.loss, ...metrics, prediction };
    return {
      ...priorPreservation(result, need('instance'), config.priorWeight, config.diffusion.lossType),
      prediction,
    };
  });
}
