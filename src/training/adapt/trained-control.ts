/**
 * A control network in the loss that trains it: its parameters, the UNet's hooks at which its outputs enter, and its first weights. After
 * lllyasviel's `ControlledUnetModel` and `tool_add_control.py` (ControlNet), TencentARC's `train_sketch.py` (T2I-Adapter).
 */

import type { ControlNetConfig, T2IAdapterConfig, UNetConfig } from '../../config/network-config.ts';
import { dim, multiplyDims } from '../../graph/dim.ts';
import { add } from '../../graph/functions.ts';
import type { InputSpec, Params, Sym } from '../../graph/trace.ts';
import { pixelsPerLatent } from '../../extensions/adapter.ts';
import { controlNet } from '../../models/control-net.ts';
import { networkParameters } from '../../models/index.ts';
import { t2iAdapter } from '../../models/t2i-adapter.ts';
import { unet, type UNetInputs } from '../../models/unet.ts';
import { aliased, joined, weightView, withPrefix } from '../../weights/view.ts';
import { zeros } from '../../tensor/tensor.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import { initialWeights } from '../step/initial-weights.ts';
import { unetPrefix } from './adapter-loss.ts';

export type TrainedControlConfig = ControlNetConfig | T2IAdapterConfig;

/** Prefix of the parameters in the graph, and in the written file: TencentARC's names have none. */
export function controlPrefixes({ kind }: TrainedControlConfig): { readonly graph: string; readonly file: string } {
  return kind === 'controlnet' ? { graph: 'control_model.', file: 'control_model.' } : { graph: 'adapter.', file: '' };
}

/** Pixels of the map along one element of the latent. */
export function hintUnit(config: TrainedControlConfig): number {
  return config.kind === 'controlnet' ? 2 ** ((config.hint_widths.length - 1) / 2) : pixelsPerLatent(config);
}

/** Channels of the map. */
export function hintChannels(config: TrainedControlConfig): number {
  return config.kind === 'controlnet' ? config.hint_channels : config.in_channels;
}

/** The map: float32 [batch, channels, height, width] in [0, 1], in pixels. */
export function hintInput(config: TrainedControlConfig, { channel_mult }: UNetConfig): InputSpec {
  const unit = 2 ** (channel_mult.length - 1) * hintUnit(config);
  const sides = [multiplyDims(unit, dim('height')), multiplyDims(unit, dim('width'))];
  return { dtype: 'float32', shape: [dim('batch'), hintChannels(config), ...sides] };
}

/** What the UNet predicts under the control network: float32 [batch, channels, height, width]. */
export function controlledPrediction(
  p: Params,
  unetConfig: UNetConfig,
  config: TrainedControlConfig,
  inputs: UNetInputs,
  hint: Sym,
): Sym {
  const own = p.under(controlPrefixes(config).graph.slice(0, -1));
  const main = p.under(unetPrefix);
  if (config.kind === 't2i_adapter') {
    const [, , height = 1, width = 1] = inputs.x.shape;
    const features = t2iAdapter(own, config, hint, { height, width });
    return unet(main, unetConfig, inputs, { afterLevel: (h, level) => add(h, features[level] as Sym) });
  }
  const { skips, middle } = controlNet(own, config, { ...inputs, hint });
  return unet(main, unetConfig, inputs, {
    skip: (h, index) => add(h, skips[index] as Sym),
    middle: (h) => add(h, middle),
  });
}

/** Layers of a ControlNet that begin as zeros, so that the model is unchanged at first (`zero_module`). */
function isZeroed(name: string, { hint_widths }: ControlNetConfig): boolean {
  const last = `input_hint_block.${2 * hint_widths.length}.`;
  return name.startsWith('zero_convs.') || name.startsWith('middle_block_out.') || name.startsWith(last);
}

/** A ControlNet as a copy of the UNet's first half; the hint's convolutions are initialised, the last of them and the outputs are zero. */
function copyOfUNet(config: ControlNetConfig, base: WeightSource, seed: number): WeightSource {
  const wanted = networkParameters(config);
  const isCopied = (name: string): boolean => base.entries.has(name);
  const fresh = wanted.filter(({ name }) => !isCopied(name) && !isZeroed(name, config));
  const given = wanted.flatMap(({ name, shape }) => {
    if (isCopied(name)) return [aliased(base, name)];
    const entry = { name, shape, dtype: 'float32' as const };
    return isZeroed(name, config) ? [{ entry, read: async () => zeros('float32', shape) }] : [];
  });
  const label = `copy of ${base.label}`;
  return joined([weightView(label, given, [base]), initialWeights(fresh, seed)], label);
}

/**
 * The first weights under the names of the graph: of a file (`start`, canonical names), else a ControlNet's are copied from the UNet and a
 * T2I-Adapter's are initialised.
 */
export function firstControlWeights(
  config: TrainedControlConfig,
  {
    base,
    start,
    seed,
  }: { readonly base: WeightSource; readonly start?: WeightSource | undefined; readonly seed: number },
): WeightSource {
  const made =
    start ??
    (config.kind === 'controlnet'
      ? copyOfUNet(config, base, seed)
      : initialWeights(networkParameters(config), seed, 'first weights of the adapter'));
  return withPrefix(made, controlPrefixes(config).graph);
}
