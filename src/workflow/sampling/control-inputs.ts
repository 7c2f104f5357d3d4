/**
 * Control networks in a run: their outputs for an entry, each with its strength and added up over a chain, as further inputs of the UNet.
 * After ComfyUI's `ControlNet.get_control` and `control_merge` (controlnet.py).
 */

import { StableDiffusionError } from '../../errors.ts';
import { control as controlled, scaledControl } from '../../extensions/control.ts';
import { extensionInputs } from '../../extensions/extension.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import { addScaled } from '../../tensor/arithmetic.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import { extendedNetwork } from '../network-forms.ts';
import type { NetworkPool } from '../network-pool.ts';
import { upscale } from '../upscale.ts';
import type { ControlValue } from '../values/control.ts';
import type { ModelValue } from '../values/model.ts';
import { toBatch } from './entry-inputs.ts';
import type { ModelSampling } from './model-sampling.ts';
import type { Area } from './regions.ts';

/** What is kept over the calls of one run: hints in the size of an area. */
export interface ControlRun {
  readonly hints: Map<Tensor, Map<string, Tensor<'float32'>>>;
}

export const controlRun = (): ControlRun => ({ hints: new Map() });

export interface ControlledTask {
  readonly network: NamedNetwork;
  readonly inputs: NetworkInputs;
}

interface ControlOptions {
  readonly model: ModelValue;
  readonly networks: NetworkPool;
  readonly controls: ControlRun;
  readonly signal?: AbortSignal | undefined;
}

interface EntryTask extends ControlledTask {
  readonly sigma: number;
  readonly area: Area;
}

/** The control networks of a chain that hold at a level, the first of the chain first. */
function activeControls(
  { percentToSigma }: ModelSampling,
  control: ControlValue | undefined,
  sigma: number,
): ControlValue[] {
  const active: ControlValue[] = [];
  for (let one = control; one; one = one.previous)
    if (sigma <= percentToSigma(one.startPercent) && sigma >= percentToSigma(one.endPercent)) active.unshift(one);
  return active;
}

/** The picture in the pixels of an area of the latent: cut in the middle to its ratio, the nearest pixels, as many as the batch. */
function hintFor(
  { network, hint: picture }: ControlValue,
  { controls }: ControlOptions,
  { height, width }: Area,
  batch: number,
): Tensor<'float32'> {
  const { hint_widths } = network.config;
  const unit = 2 ** ((hint_widths.length - 1) / 2);
  const sized = controls.hints.get(picture) ?? new Map<string, Tensor<'float32'>>();
  controls.hints.set(picture, sized);
  const key = `${height}x${width}`;
  const size = { height: height * unit, width: width * unit };
  const hint = sized.get(key) ?? upscale(picture, { ...size, method: 'nearest-exact', crop: 'center' });
  sized.set(key, hint);
  return toBatch(hint, batch);
}

/** Throws `shape-mismatch` for a latent that the control network does not take. */
function assertFits({ label, network }: ControlValue, { height, width }: Area): void {
  const unit = 2 ** (network.config.unet.channel_mult.length - 1);
  if (height % unit === 0 && width % unit === 0) return;
  throw new StableDiffusionError(
    'shape-mismatch',
    `A control network takes latents whose sides are multiples of ${unit}; ${label} was given ${width} by ${height}. Choose another size of the picture or area.`,
  );
}

async function outputsOf(control: ControlValue, options: ControlOptions, task: EntryTask): Promise<NetworkInputs> {
  assertFits(control, task.area);
  const { x, timesteps, context, y } = task.inputs;
  const { unet } = control.network.config;
  const latent = expectDType(x as Tensor, 'float32', 'x');
  const batch = latent.shape[0] ?? 1;
  const names = Object.keys(extensionInputs([controlled], unet));
  const given: NetworkInputs = {
    x: firstChannels(latent, unet.in_channels),
    timesteps: timesteps as Tensor,
    context: context as Tensor,
    ...(y && { y }),
    hint: hintFor(control, options, task.area, batch),
  };
  const made = await options.networks.run(control.network, { outputs: names }, given, options.signal);
  return scaledControl(made, control.strength);
}

/** The first channels of [b, c, h, w]: an inpainting model's further ones are not a control network's. */
function firstChannels(x: Tensor<'float32'>, wanted: number): Tensor<'float32'> {
  const [batch = 1, channels = 1, height = 1, width = 1] = x.shape;
  if (channels <= wanted) return x;
  const size = height * width;
  const data = new Float32Array(batch * wanted * size);
  for (let b = 0; b < batch; b++)
    data.set(x.data.subarray(b * channels * size, (b * channels + wanted) * size), b * wanted * size);
  return { ...x, shape: [batch, wanted, height, width], data };
}

const sum = (a: Tensor | undefined, b: Tensor): Tensor =>
  a ? addScaled(expectDType(b, 'float32'), 1, expectDType(a, 'float32')) : b;

/** The task with the control networks of its entry, as it was where none holds at its level. */
export async function controlInputs(
  options: ControlOptions,
  control: ControlValue | undefined,
  task: EntryTask,
): Promise<ControlledTask> {
  const { network, inputs, sigma } = task;
  const active = activeControls(options.model.sampling, control, sigma);
  if (active.length === 0) return { network, inputs };
  let all: NetworkInputs = {};
  for (const one of active) {
    const outputs = await outputsOf(one, options, task);
    all = Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, sum(all[name], value)]));
  }
  return { network: extendedNetwork(network, controlled), inputs: { ...inputs, ...all } };
}
