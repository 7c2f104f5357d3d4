/**
 * Losses of networks over pixels as graphs, and what goes into them: guided-diffusion's `training_losses` over a UNet or an upsampler, and the
 * cross entropy of `classifier_train.py`, which classifiers of latents have too.
 */

import { type AdmFlags, admClassifier, admUNet } from '../../config/adm-flags.ts';
import type { EncoderUNetConfig, UNetConfig } from '../../config/network-config.ts';
import { admLossType, admProcess, type GaussianProcess } from '../../diffusion/gaussian/index.ts';
import { cast, concat, mean, mul, oneHot, sum } from '../../graph/functions.ts';
import type { Graph } from '../../graph/graph.ts';
import { type DropoutSite, type InputSpec, type Params, type Sym, trace } from '../../graph/trace.ts';
import { imagesToTensor } from '../../image/image-tensor.ts';
import { logSoftmax } from '../../models/classifier-guide.ts';
import { encoderUNet } from '../../models/encoder-unet.ts';
import { need } from '../../models/trace-network.ts';
import { unet } from '../../models/unet.ts';
import { resizeBilinear } from '../../tensor/resize-bilinear.ts';
import { resizeTensor } from '../../tensor/resize-tensor.ts';
import { int64, type Tensor } from '../../tensor/tensor.ts';
import { StableDiffusionError } from '../../errors.ts';
import { classOf } from '../latent/conditioning.ts';
import type { BatchGenerator } from '../data/batch-generator.ts';
import type { TrainingItem } from '../data/sample.ts';
import { gaussianLoss, noisyPictures, toldTimesteps } from '../objective/gaussian.ts';
import type { PixelSettings } from './settings.ts';

export type ObjectiveInputs = Readonly<Record<string, Tensor>> & { readonly x0: Tensor<'float32'> };

export interface PixelObjective {
  readonly network: UNetConfig | EncoderUNetConfig;
  readonly process: GaussianProcess;
  /** Pixels of each side. */
  readonly side: number;
  /** Side of the small pictures of an upsampler. */
  readonly smallSide?: number;
  /** Classes of the items, where they need one. */
  readonly classes?: number;
  /** Inputs of the loss from items, but noise and timesteps. Throws `invalid-argument` for items that lack something. */
  readonly inputs: (items: readonly TrainingItem[], generator: BatchGenerator) => Promise<ObjectiveInputs>;
  /** False where pictures stay clean: the timestep is then 0. */
  readonly noised: boolean;
  /**
   * Inputs: x0 and noise [b, 3, side, side], t int64 [b], weight float32 [b], and y int64 [b] and small [b, 3, side, side] where the network
   * takes them. Outputs: `loss`, the mean of the weighted losses; `losses` [b], and further terms [b].
   */
  readonly trace: (batch: number, onDropout?: (site: DropoutSite) => void) => Graph;
}

const picture = (batch: number, side: number, channels = 3): InputSpec => ({
  dtype: 'float32',
  shape: [batch, channels, side, side],
});

type Loss = (p: Params, given: Readonly<Record<string, Sym>>) => Readonly<Record<string, Sym>> & { losses: Sym };

const tracer =
  (
    side: number,
    more: (batch: number) => Readonly<Record<string, InputSpec>>,
    loss: Loss,
    channels?: number,
  ): PixelObjective['trace'] =>
  (batch, onDropout) =>
    trace(
      {
        x0: picture(batch, side, channels),
        noise: picture(batch, side, channels),
        t: { dtype: 'int64', shape: [batch] },
        weight: { dtype: 'float32', shape: [batch] },
        ...more(batch),
      },
      (given, p) => {
        p.builder.onDropout = onDropout;
        const terms = loss(p, given as Readonly<Record<string, Sym>>);
        return { loss: mean(mul(terms.losses, need(given, 'weight'))), ...terms };
      },
    );

/** A UNet or an upsampler (`image_train.py`, `super_res_train.py`). */
function diffusionObjective(flags: AdmFlags): Omit<PixelObjective, 'inputs'> {
  const network = admUNet(flags);
  const process = admProcess(flags);
  const side = flags.large_size ?? flags.image_size;
  const { small_size: smallSide } = flags;
  const isUpsampler = flags.large_size !== undefined;
  return {
    network,
    process,
    side,
    noised: true,
    ...(isUpsampler && smallSide !== undefined ? { smallSide } : {}),
    ...(network.num_classes === null ? {} : { classes: network.num_classes }),
    trace: tracer(
      side,
      (batch) => ({
        ...(network.num_classes === null ? {} : { y: { dtype: 'int64', shape: [batch] } }),
        ...(isUpsampler ? { small: picture(batch, side) } : {}),
      }),
      (p, given) => {
        const of = { x0: need(given, 'x0'), noise: need(given, 'noise'), t: need(given, 't') };
        const noisy = noisyPictures(process, of);
        const { y, small } = given;
        const output = unet(p, network, {
          x: small ? concat([noisy, small], 1) : noisy,
          timesteps: toldTimesteps(process, of.t),
          y,
        });
        const { loss, mse, vb } = gaussianLoss(process, admLossType(flags), of, noisy, output);
        return { losses: loss, ...(mse && vb ? { mse } : {}), ...(vb ? { vb } : {}) };
      },
    ),
  };
}

/** The cross entropy of a classifier of noisy pictures or latents; its timestep is the number of the step, as in guided-diffusion. */
export function classifierObjective(
  network: EncoderUNetConfig,
  process: GaussianProcess,
  side: number,
  noised = true,
): Omit<PixelObjective, 'inputs'> {
  return {
    network,
    process,
    side,
    classes: network.out_channels,
    noised,
    trace: tracer(
      side,
      (batch) => ({ y: { dtype: 'int64', shape: [batch] } }),
      (p, given) => {
        const of = { x0: need(given, 'x0'), noise: need(given, 'noise'), t: need(given, 't') };
        const x = noised ? noisyPictures(process, of) : of.x0;
        const logits = encoderUNet(p, network, { x, timesteps: cast(of.t, 'float32') });
        const right = sum(mul(logSoftmax(logits), oneHot(need(given, 'y'), network.out_channels)), [1]);
        return { losses: mul(right, -1), logits };
      },
      network.in_channels,
    ),
  };
}

export function pixelObjective({ target, flags, noised, classKey }: PixelSettings): PixelObjective {
  const objective =
    target === 'classifier_train'
      ? classifierObjective(admClassifier(flags), admProcess(flags), flags.image_size, noised)
      : diffusionObjective(flags);
  return { ...objective, inputs: async (items) => pixelInputs(objective, classKey, items) };
}

/** The classes of items as an input, from the field of their metadata. Throws `invalid-argument` for items without a class. */
export const classInput = (items: readonly TrainingItem[], key: string, count: number): Tensor<'int64'> =>
  int64(
    [items.length],
    items.map((item) => classOf(item, [key, 'class_label', 'class', 'label'], count)),
  );

/** Throws `invalid-argument` for cached latents and for items without a class. */
function pixelInputs(
  { side, smallSide, classes }: Omit<PixelObjective, 'inputs'>,
  classKey: string,
  items: readonly TrainingItem[],
): ObjectiveInputs {
  const images = items.flatMap((item) => ('image' in item ? [item.image] : []));
  if (images.length < items.length)
    throw new StableDiffusionError(
      'invalid-argument',
      'A network over pixels is trained on pictures, and the data are latents.',
    );
  const x0 = imagesToTensor(images, 'compvis-inpaint-st');
  return {
    x0,
    ...(classes === undefined ? {} : { y: classInput(items, classKey, classes) }),
    ...(smallSide === undefined
      ? {}
      : { small: resizeBilinear(resizeTensor(x0, smallSide, smallSide, 'area'), side, side) }),
  };
}
