/**
 * Control networks in a run: the controls of an entry as units (diffusion/control), whose inputs the UNet gets. After ComfyUI's
 * `ControlNet.get_control`, `T2IAdapter.get_control` and `control_merge` (controlnet.py).
 */

import type { ControlNetConfig, T2IAdapterConfig } from '../../config/network-config.ts';
import { adapterUnit } from '../../diffusion/control/adapter-unit.ts';
import { addedInputs } from '../../diffusion/control/added-inputs.ts';
import { controlNetUnit } from '../../diffusion/control/control-net-unit.ts';
import type { ControlUnit } from '../../diffusion/control/control-unit.ts';
import { isBetweenLevels } from '../../diffusion/control/control-window.ts';
import type { DenoiserInputs } from '../../diffusion/guidance.ts';
import { StableDiffusionError } from '../../errors.ts';
import { adapterExtension, pixelsPerLatent } from '../../extensions/adapter.ts';
import { control as controlNet } from '../../extensions/control.ts';
import { extensionInputs } from '../../extensions/extension.ts';
import type { NamedNetwork } from '../../model/network-set.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import { controlNetworkFor } from '../control-net.ts';
import type { GroundingRun } from '../grounding.ts';
import { extendedNetwork, sizedNetwork } from '../network-forms.ts';
import type { NetworkPool } from '../network-pool.ts';
import { upscale } from '../upscale.ts';
import type { ControlValue } from '../values/control.ts';
import type { ModelValue } from '../values/model.ts';
import { type HookRun, hookRun } from './hook-strengths.ts';
import { toBatch } from './to-batch.ts';
import type { Area } from './regions.ts';

/** What is kept over the calls of one run. */
export interface ControlRun {
  /** Hints in the size of an area, by picture. */
  readonly hints: Map<Tensor, Map<string, Tensor<'float32'>>>;
  /** An adapter's features, by hint and file. */
  readonly features: Map<Tensor, Map<string, NetworkInputs>>;
  readonly objects: GroundingRun;
  readonly hooks: HookRun;
}

export const controlRun = (): ControlRun => ({
  hints: new Map(),
  features: new Map(),
  objects: new Map(),
  hooks: hookRun(),
});

export interface ControlledTask {
  readonly network: NamedNetwork;
  readonly inputs: DenoiserInputs;
}

interface ControlOptions {
  readonly model: ModelValue;
  readonly networks: NetworkPool;
  readonly controls: ControlRun;
  readonly signal?: AbortSignal | undefined;
}

interface EntryTask extends ControlledTask {
  /** Seen by control networks in place of the entry's own, [1 or b, tokens, width]. */
  readonly controlContext?: Tensor<'float32'> | undefined;
  readonly sigma: number;
  readonly area: Area;
}

/** The controls of a chain, the first of the chain first. */
function chainOf(control: ControlValue | undefined): ControlValue[] {
  const chain: ControlValue[] = [];
  for (let one = control; one; one = one.previous) chain.unshift(one);
  return chain;
}

const windowOf = ({ startPercent, endPercent }: ControlValue): ControlUnit['window'] => ({
  start: startPercent,
  end: endPercent,
});

/** The picture in pixels of that size: cut in the middle to its ratio, the nearest pixels. */
function hintOf(
  picture: Tensor<'float32'>,
  { controls }: ControlOptions,
  height: number,
  width: number,
): Tensor<'float32'> {
  const sized = controls.hints.get(picture) ?? new Map<string, Tensor<'float32'>>();
  controls.hints.set(picture, sized);
  const key = `${height}x${width}`;
  const hint = sized.get(key) ?? upscale(picture, { height, width, method: 'nearest-exact', crop: 'center' });
  sized.set(key, hint);
  return hint;
}

/** Throws `shape-mismatch` for a latent that the adapter does not take. */
function assertFits(label: string, unit: number, { height, width }: Area): void {
  if (height % unit === 0 && width % unit === 0) return;
  throw new StableDiffusionError(
    'shape-mismatch',
    `A T2I-Adapter takes latents whose sides are multiples of ${unit}; ${label} was given ${width} by ${height}. Choose another size of the picture or area.`,
  );
}

function controlNetOf(
  control: ControlValue,
  network: NamedNetwork,
  config: ControlNetConfig,
  options: ControlOptions,
  { area, inputs, controlContext }: EntryTask,
): ControlUnit {
  const sized = sizedNetwork(network, area.height, area.width);
  const outputs = Object.keys(extensionInputs([controlNet], config.unet));
  const unit = 2 ** ((config.hint_widths.length - 1) / 2);
  return controlNetUnit({
    run: (given, signal) => {
      const context = controlContext && toBatch(controlContext, inputs.x.shape[0] ?? 1);
      return options.networks.run(sized, { outputs }, { ...given, ...(context && { context }) }, signal);
    },
    channels: config.unet.in_channels,
    hint: toBatch(hintOf(control.hint, options, area.height * unit, area.width * unit), inputs.x.shape[0] ?? 1),
    weight: control.strength,
    mode: 'balanced',
    window: windowOf(control),
  });
}

/** The mean of the channels, for adapters that take one. */
function inChannels(picture: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const [batch = 1, channels = 1, height = 1, width = 1] = picture.shape;
  if (count !== 1 || channels === 1) return picture;
  const size = height * width;
  const data = new Float32Array(batch * size);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < size; i++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += picture.data[(b * channels + c) * size + i] as number;
      data[b * size + i] = sum / channels;
    }
  return { ...picture, shape: [batch, 1, height, width], data };
}

/** An adapter's features are made once a run and size. */
async function adapterOf(
  control: ControlValue,
  network: NamedNetwork,
  config: T2IAdapterConfig,
  options: ControlOptions,
  { area, inputs }: EntryTask,
): Promise<ControlUnit> {
  const { controls, networks, signal } = options;
  const { adapter_type, channels, in_channels } = config;
  const factor = pixelsPerLatent(config);
  assertFits(control.label, 2 ** (channels.length - (adapter_type === 'full_xl' ? 2 : 1)), area);
  const hint = hintOf(control.hint, options, area.height * factor, area.width * factor);
  const made = controls.features.get(hint) ?? new Map<string, NetworkInputs>();
  controls.features.set(hint, made);
  const outputs = channels.map((_, level) => `adapter.${level}`);
  const features =
    made.get(control.label) ??
    (await networks.run(network, { outputs }, { image: inChannels(hint, in_channels) }, signal));
  made.set(control.label, features);
  const batch = inputs.x.shape[0] ?? 1;
  return adapterUnit({
    features: Object.fromEntries(
      Object.entries(features).map(([name, value]) => [name, toBatch(expectDType(value, 'float32', name), batch)]),
    ),
    weight: control.strength,
    mode: 'balanced',
    window: windowOf(control),
  });
}

function unitOf(control: ControlValue, options: ControlOptions, task: EntryTask): Promise<ControlUnit> | ControlUnit {
  const network = controlNetworkFor(control, options.model);
  return network.config.kind === 'controlnet'
    ? controlNetOf(control, network, network.config, options, task)
    : adapterOf(control, network, network.config, options, task);
}

/** The task with the controls of its entry; as it was if none acts at its level. */
export async function controlInputs(
  options: ControlOptions,
  control: ControlValue | undefined,
  task: EntryTask,
): Promise<ControlledTask> {
  const { network, inputs, sigma } = task;
  const { percentToSigma } = options.model.sampling;
  const active = chainOf(control).filter((one) => isBetweenLevels(windowOf(one), sigma, percentToSigma));
  const units: ControlUnit[] = [];
  for (const one of active) units.push(await unitOf(one, options, task));
  const isConditional = new Array<boolean>(inputs.x.shape[0] ?? 1).fill(true);
  const added = await addedInputs(units, { inputs, isConditional, signal: options.signal }, () => true);
  const configs = active.map((one) => controlNetworkFor(one, options.model).config);
  const adapters = configs.flatMap((config) => (config.kind === 't2i_adapter' ? [adapterExtension(config)] : []));
  const isAdded = (prefix: string): boolean => Object.keys(added).some((key) => key.startsWith(prefix));
  const extensions = [
    ...(isAdded('control.') ? [controlNet] : []),
    ...(isAdded('adapter.') ? adapters.slice(0, 1) : []),
  ];
  return { network: extensions.reduce(extendedNetwork, network), inputs: { ...inputs, ...added } };
}
