/**
 * The two losses of an autoencoder's training as graphs: that of the autoencoder and that of its discriminator
 * (`ldm/modules/losses/contperceptual.py`, `vqperceptual.py`; Esser et al. 2021, Rombach et al. 2022), or the lighter loss of
 * `multiscale-loss.ts`.
 *
 * Parameters have the names of LDM's checkpoints: `encoder.…`, `decoder.…`, and below `loss`: `perceptual_loss.…`, `discriminator.…`, `logvar`.
 */

import {
  type AutoencoderLossConfig,
  discriminatorOf,
  type KlLossConfig,
  type VqLossConfig,
} from '../../config/autoencoder-training.ts';
import type { AutoencoderConfig, LpipsConfig } from '../../config/network-config.ts';
import { StableDiffusionError } from '../../errors.ts';
import { type Dim, dim, multiplyDims } from '../../graph/dim.ts';
import { abs, add, dimension, div, exp, mean, mul, neg, stopGradient, sub, sum } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { dropUnused } from '../../graph/simplify.ts';
import { type DropoutSite, type InputSpec, type Params, type Sym, trace } from '../../graph/trace.ts';
import { decodeKl, encodeKl, klDivergence, samplePosterior } from '../../models/autoencoder-kl.ts';
import { decodeVq, encodeVq, quantize } from '../../models/autoencoder-vq.ts';
import { type Buffers, discriminator } from '../../models/discriminator.ts';
import { lpips } from '../../models/lpips.ts';
import { need, type NetworkSymbols } from '../../models/trace-network.ts';
import { adaptiveWeight, discriminatorLosses } from '../objective/adversarial.ts';
import { codebookUsage } from '../objective/codebook-usage.ts';
import { multiscaleLoss } from '../objective/multiscale.ts';

export interface AutoencoderObjective {
  readonly autoencoder: AutoencoderConfig;
  readonly loss: AutoencoderLossConfig;
  /** The network of the perceptual loss, where the loss has one. */
  readonly perceptual?: LpipsConfig;
}

export interface AutoencoderTraceOptions {
  /** Batch, height and width where they are always the same. By default any batch, and sides that are multiples of 16 or more. */
  readonly size?: { readonly batch?: number; readonly height?: number; readonly width?: number };
  /** Adds an input `weights` [batch, 1, 1, 1] on the images' reconstruction terms (KL only). */
  readonly weighted?: boolean;
  /** Adds the output `reconstruction`. */
  readonly reconstruction?: boolean;
  /** Ranks over whose batches the discriminator's statistics and the adversarial weight are taken. Default 1: a rank's own. */
  readonly ranks?: number | undefined;
  /** Traces for training with dropout: each mask is an input. */
  readonly onDropout?: ((site: DropoutSite) => void) | undefined;
}

/** Prefix of the outputs that a forward pass changes in the discriminator: `buffer.NAME`, to be kept as parameter NAME. */
export const bufferPrefix = 'buffer.';

/** An autoencoder's image, and what its bottleneck costs. */
interface Reconstruction {
  readonly image: Sym;
  /** Weighted, a scalar. */
  readonly bottleneck: Sym;
  readonly metrics: Readonly<Record<string, Sym>>;
}

function reconstruct(p: Params, { autoencoder, loss }: AutoencoderObjective, given: NetworkSymbols): Reconstruction {
  const x = need(given, 'image');
  if (autoencoder.kind === 'kl') {
    const posterior = encodeKl(p, autoencoder, x);
    const divergence = div(sum(klDivergence(posterior)), dimension(x, x.shape[0] ?? 1));
    const weight = 'kl_weight' in loss ? loss.kl_weight : 0;
    return {
      image: decodeKl(p, autoencoder, samplePosterior(posterior, need(given, 'noise'))),
      bottleneck: mul(divergence, weight),
      metrics: { kl_loss: divergence },
    };
  }
  const { quant, loss: codebook, indices } = quantize(p, autoencoder, encodeVq(p, autoencoder, x));
  const classes = ('n_classes' in loss ? loss.n_classes : null) ?? autoencoder.n_embed;
  const usage = codebookUsage(indices, classes);
  const weight = 'codebook_weight' in loss ? loss.codebook_weight : 0;
  return {
    image: decodeVq(p, autoencoder, quant),
    bottleneck: mul(codebook, weight),
    metrics: { quant_loss: codebook, perplexity: usage.perplexity, cluster_usage: usage.used },
  };
}

interface ReconstructionLoss {
  /** The scalar that the adversarial loss is weighed against. */
  readonly nll: Sym;
  /** The scalar that is minimised: the same, or with weights on the images. */
  readonly minimised: Sym;
  readonly metrics: Readonly<Record<string, Sym>>;
}

function perceptualTerm(p: Params, objective: AutoencoderObjective, x: Sym, y: Sym): Sym {
  if (!objective.perceptual)
    throw new StableDiffusionError(
      'invalid-argument',
      'The loss has a perceptual_weight, and no LPIPS network was given; give its weights, or set perceptual_weight to 0.',
    );
  return lpips(p.at('loss.perceptual_loss'), objective.perceptual, x, y).distance; // [b, 1, 1, 1]
}

/** The distance of each image from its reconstruction, [b, c, h, w]: the perceptual distance is added to every element. */
function distances(
  p: Params,
  objective: AutoencoderObjective,
  loss: KlLossConfig | VqLossConfig,
  x: Sym,
  y: Sym,
): { each: Sym; metrics: Record<string, Sym> } {
  const difference = sub(x, y);
  const each =
    loss.kind === 'vq_lpips_discriminator' && loss.pixel_loss === 'l2' ? mul(difference, difference) : abs(difference);
  if (loss.perceptual_weight === 0) return { each, metrics: {} };
  const perceptual = perceptualTerm(p, objective, x, y);
  return { each: add(each, mul(perceptual, loss.perceptual_weight)), metrics: { p_loss: mean(perceptual) } };
}

function reconstructionLoss(
  p: Params,
  objective: AutoencoderObjective,
  x: Sym,
  y: Sym,
  weights: Sym | undefined,
): ReconstructionLoss {
  const { loss } = objective;
  if (loss.kind === 'multiscale') {
    const nll = multiscaleLoss(loss, x, y);
    return { nll, minimised: nll, metrics: { rec_loss: nll } };
  }
  const { each, metrics } = distances(p, objective, loss, x, y);
  const rec = mean(each);
  if (loss.kind === 'vq_lpips_discriminator')
    return { nll: rec, minimised: rec, metrics: { nll_loss: rec, rec_loss: rec, ...metrics } };
  const logvar = p.at('loss').get('logvar', []);
  const likelihood = add(div(each, exp(logvar)), logvar);
  const perImage = (value: Sym): Sym => div(sum(value), dimension(x, x.shape[0] ?? 1));
  const nll = perImage(likelihood);
  return {
    nll,
    minimised: weights ? perImage(mul(weights, likelihood)) : nll,
    metrics: { nll_loss: nll, rec_loss: rec, logvar, ...metrics },
  };
}

/** Divisor of image sides that are not fixed, so that every strided layer of every network divides them. */
function sizeUnit({ autoencoder, loss, perceptual }: AutoencoderObjective): number {
  const halvings = [
    autoencoder.ddconfig.ch_mult.length - 1,
    discriminatorOf(loss)?.n_layers ?? 0,
    perceptual ? 4 : 0,
    loss.kind === 'multiscale' ? loss.scales - 1 : 0,
  ];
  return 2 ** Math.max(...halvings);
}

function inputsOf(
  objective: AutoencoderObjective,
  { size = {}, weighted }: AutoencoderTraceOptions,
): Record<string, InputSpec> {
  const { autoencoder, loss } = objective;
  const factor = 2 ** (autoencoder.ddconfig.ch_mult.length - 1);
  const unit = sizeUnit(objective);
  const side = (length: number | undefined, name: string): [image: Dim, latent: Dim] => {
    if (length === undefined) return [multiplyDims(dim(name), unit), multiplyDims(dim(name), unit / factor)];
    if (length % factor !== 0)
      throw new StableDiffusionError(
        'invalid-argument',
        `Images of ${name} ${length} cannot be trained on: the autoencoder needs multiples of ${factor}.`,
      );
    return [length, length / factor];
  };
  const batch = size.batch ?? dim('batch');
  const [[height, latentHeight], [width, latentWidth]] = [side(size.height, 'height'), side(size.width, 'width')];
  const inputs: Record<string, InputSpec> = {
    image: { dtype: 'float32', shape: [batch, autoencoder.ddconfig.in_channels, height, width] },
  };
  if (autoencoder.kind === 'kl')
    inputs['noise'] = { dtype: 'float32', shape: [batch, autoencoder.embed_dim, latentHeight, latentWidth] };
  if (weighted) inputs['weights'] = { dtype: 'float32', shape: [batch, 1, 1, 1] };
  if (discriminatorOf(loss)) inputs['disc_factor'] = { dtype: 'float32', shape: [] };
  return inputs;
}

function bufferOutputs(buffers: Buffers): Record<string, Sym> {
  return Object.fromEntries([...buffers].map(([name, value]) => [`${bufferPrefix}${name}`, value]));
}

/** Weight [out, in, 3, 3] of the decoder's last convolution (`get_last_layer`). */
function lastLayer(p: Params, { ddconfig }: AutoencoderConfig): Sym {
  return p.at('decoder.conv_out').get('weight', [ddconfig.out_ch, ddconfig.ch * (ddconfig.ch_mult[0] ?? 1), 3, 3]);
}

/**
 * The autoencoder's loss. Inputs: image [batch, channels, height, width] in [-1, 1]; for KL, noise [batch, embed_dim, h, w] standard
 * normal; with a discriminator, the scalar disc_factor (`adoptWeight`).
 * Outputs: loss; the original's metrics nll_loss, rec_loss, p_loss, kl_loss and logvar or quant_loss, perplexity and cluster_usage,
 * d_weight, g_loss; `buffer.NAME`.
 */
export function traceAutoencoderLoss(objective: AutoencoderObjective, options: AutoencoderTraceOptions = {}): Graph {
  const { loss: config } = objective;
  const judge = discriminatorOf(config);
  const graph = trace(
    inputsOf(objective, options),
    (given, p) => {
      const x = need(given, 'image');
      const made = reconstruct(p, objective, given);
      const rec = reconstructionLoss(p, objective, x, made.image, given['weights']);
      const outputs: Record<string, Sym> = {
        ...rec.metrics,
        ...made.metrics,
        ...(options.reconstruction ? { reconstruction: made.image } : {}),
      };
      const plain = add(rec.minimised, made.bottleneck);
      if (!judge || config.kind === 'multiscale') return { loss: plain, ...outputs };
      const { logits, buffers } = discriminator(p.at('loss.discriminator'), judge, made.image, {
        training: true,
        ranks: options.ranks,
      });
      const adversarial = neg(mean(logits));
      const weight = adaptiveWeight(
        rec.nll,
        adversarial,
        lastLayer(p, objective.autoencoder),
        config.disc_weight,
        options.ranks,
      );
      const loss = add(plain, mul(mul(weight, need(given, 'disc_factor')), adversarial));
      return { loss, ...outputs, d_weight: weight, g_loss: adversarial, ...bufferOutputs(buffers) };
    },
    { onDropout: options.onDropout },
  );
  return dropUnused(graph);
}

/**
 * The discriminator's loss: on the images, then on their reconstructions. Inputs as for the autoencoder's loss.
 * Outputs: loss; logits_real and logits_fake, their means; `buffer.NAME`.
 */
export function traceDiscriminatorLoss(objective: AutoencoderObjective, options: AutoencoderTraceOptions = {}): Graph {
  const { loss: config } = objective;
  const judge = discriminatorOf(config);
  if (!judge || config.kind === 'multiscale')
    throw new StableDiffusionError('invalid-argument', 'This loss has no discriminator.');
  const graph = trace(
    inputsOf(objective, options),
    (given, p) => {
      const scope = p.at('loss.discriminator');
      const made = stopGradient(reconstruct(p, objective, given).image);
      const { ranks } = options;
      const real = discriminator(scope, judge, need(given, 'image'), { training: true, ranks });
      const fake = discriminator(scope, judge, made, { training: true, ranks, buffers: real.buffers });
      const loss = mul(discriminatorLosses[config.disc_loss](real.logits, fake.logits), need(given, 'disc_factor'));
      return { loss, logits_real: mean(real.logits), logits_fake: mean(fake.logits), ...bufferOutputs(fake.buffers) };
    },
    { onDropout: options.onDropout },
  );
  return dropUnused(graph);
}
