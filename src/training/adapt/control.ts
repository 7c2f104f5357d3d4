/**
 * Trains a ControlNet (Zhang et al. 2023; lllyasviel's cldm, diffusers' train_controlnet.py) or a T2I-Adapter (Mou et al. 2023; TencentARC's
 * train_sketch.py) from pictures with maps. The model itself stays as it is.
 */

import { openControlFile } from '../../checkpoints/control-file.ts';
import {
  controlNetConfigSchema,
  ldmUNet,
  t2iAdapterConfigSchema,
  type UNetConfig,
} from '../../config/network-config.ts';
import type { Tensors } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { type Image, toRgb } from '../../image/image.ts';
import { tensorToImages } from '../../image/image-tensor.ts';
import { downsamplingOf } from '../../model/autoencoder.ts';
import { openControlModel } from '../../model/control-model.ts';
import type { Model } from '../../model/model.ts';
import { networkParameters } from '../../models/index.ts';
import { takeBatch } from '../../tensor/batches.ts';
import { convert } from '../../tensor/convert.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import { weightView } from '../../weights/view.ts';
import type { WeightSource } from '../../weights/weight-source.ts';
import type { TrainStep } from '../step/train-step.ts';
import type { Trainee } from '../trainee.ts';
import type { SampleControls } from './adapter-samples.ts';
import { assertPlainUNet, type AdapterModelOptions, createAdapterStep } from './adapter-trainee.ts';
import { hintsOf, type MapDrawer } from './control-hints.ts';
import {
  controlledPrediction,
  controlPrefixes,
  firstControlWeights,
  hintChannels,
  hintInput,
  hintUnit,
  type TrainedControlConfig,
} from './trained-control.ts';

export interface ControlTrainingOptions extends AdapterModelOptions {
  readonly kind: 'controlnet' | 't2i_adapter';
  /** T2I-Adapter: `full` (default) or `light`. */
  readonly adapterType?: 'full' | 'light';
  /** Channels of the map. Default 3. */
  readonly hintChannels?: number;
  /** Draws the maps of pictures that have none. */
  readonly drawer?: MapDrawer;
  /** A file of the same kind to go on from. Default: a copy of the UNet's first half, or an initialised adapter. It stays the caller's. */
  readonly start?: WeightSource;
  /** Seed of initialised weights. Default 0. */
  readonly seed?: number;
  /** Element type of the written file. Default float32. */
  readonly dtype?: 'float32' | 'float16';
  /** Pictures of a sample grid at most. Default 4. */
  readonly sampleCount?: number;
}

function configOf({ kind, adapterType, hintChannels: channels = 3 }: ControlTrainingOptions, unet: UNetConfig) {
  return kind === 'controlnet'
    ? controlNetConfigSchema.parse({ kind, unet, hint_channels: channels })
    : t2iAdapterConfigSchema.parse({
        kind,
        adapter_type: adapterType ?? 'full',
        in_channels: channels,
        channels: unet.channel_mult.map((mult) => mult * unet.model_channels),
        num_res_blocks: adapterType === 'light' ? 4 : 2,
      });
}

/** The configuration and first weights: those of the file to go on from, else new ones. */
function startOf(
  options: ControlTrainingOptions,
  unet: UNetConfig,
): { readonly config: TrainedControlConfig; readonly start?: WeightSource } {
  const { start, kind, checkpoint } = options;
  if (!start) return { config: configOf(options, unet) };
  const { config, weights } = openControlFile(start, {
    label: checkpoint.label,
    config: unet,
    weights: checkpoint.parts.unet,
  });
  if (config.kind !== kind)
    throw new StableDiffusionError(
      'weights-mismatch',
      `${start.label} cannot be trained further here: it is a ${config.kind}, and a ${kind} was asked for.`,
    );
  if (config.kind === 't2i_adapter' && config.adapter_type === 'full_xl')
    throw new StableDiffusionError(
      'invalid-argument',
      `${start.label} is a T2I-Adapter for SDXL, which cannot be trained here: train a ControlNet, or an adapter of Stable Diffusion 1.`,
    );
  return { config: config as TrainedControlConfig, start: weights };
}

/** The trained tensors under their published names, read from the step in their current state. */
function trainedWeights(step: TrainStep, config: TrainedControlConfig): WeightSource {
  const { graph, file } = controlPrefixes(config);
  const entries = networkParameters(config).map(({ name, shape }) => ({
    entry: { name: file + name, shape, dtype: 'float32' as const },
    read: async () => (await step.parameters([graph + name]))[graph + name] as Tensor,
  }));
  return weightView('control network in training', entries, []);
}

/** The maps of a batch as pictures. */
function mapsOf(batch: Tensors, most: number): Image<3>[] {
  const hint = expectDType(batch['hint'] as Tensor, 'float32', 'hint');
  const [count = 1, channels = 3, height = 1, width = 1] = hint.shape;
  const shown = takeBatch(hint, 0, Math.min(count, most));
  const plane = height * width;
  const rgb = new Float32Array((shown.shape[0] ?? 1) * 3 * plane);
  for (let i = 0; i < rgb.length; i++) {
    const [row, rest] = [Math.floor(i / (3 * plane)), i % (3 * plane)];
    const channel = Math.min(channels - 1, Math.floor(rest / plane));
    rgb[i] = 2 * (shown.data[(row * channels + channel) * plane + (rest % plane)] as number) - 1;
  }
  return tensorToImages({ dtype: 'float32', shape: [shown.shape[0] ?? 1, 3, height, width], data: rgb }).map(toRgb);
}

/**
 * A control network to be trained. Compiles the gradient; the checkpoint's weights are built into the program and do not change.
 * @throws `invalid-argument` for models without CLIP's text encoder or with inpainting channels, `weights-mismatch` for a start that does not fit
 */
export async function createControlTrainee(options: ControlTrainingOptions): Promise<Trainee<Tensors>> {
  const { checkpoint, kind, weightDecay, seed = 0, dtype = 'float32', drawer, sampleCount = 4 } = options;
  const unet = ldmUNet(checkpoint.config.unet_config);
  assertPlainUNet(checkpoint);
  const { config, start } = startOf(options, unet);
  const factor = downsamplingOf(checkpoint.config.first_stage_config);
  if (hintUnit(config) !== factor)
    throw new StableDiffusionError(
      'invalid-argument',
      `${checkpoint.label} has latents of a ${factor}th of the picture's side; a ${kind === 'controlnet' ? 'ControlNet' : 'T2I-Adapter'} is for those of an eighth.`,
    );
  const prefix = controlPrefixes(config).graph;
  const captions = new WeakMap<Tensors, readonly string[]>();
  const sampleControls = (step: TrainStep, batch: Tensors): SampleControls => ({
    captions: captions.get(batch) ?? [],
    maps: mapsOf(batch, sampleCount),
    open: async (model: Model) => openControlModel(model, trainedWeights(step, config), { pool: false }),
  });
  const common = await createAdapterStep(options, {
    traceText: false,
    denoiser: {
      inputs: { hint: hintInput(config, unet) },
      predict: (p, inputs, { hint }) => {
        if (!hint) throw new StableDiffusionError('invalid-argument', 'The loss needs a map.');
        return controlledPrediction(p, unet, config, inputs, hint);
      },
    },
    batch: {
      further: async (items) => ({ hint: await hintsOf(items, hintChannels(config), drawer) }),
      timestepSampling: kind === 't2i_adapter' ? 'cubic' : 'uniform',
    },
    added: firstControlWeights(config, { base: checkpoint.parts.unet, start, seed }),
    treatment: (name) => (name.startsWith(prefix) ? { weightDecay } : 'fixed'),
    adapted: async () => ({ checkpoint }),
    sampleControls,
    seed,
  });
  const { step } = common;
  return {
    ...common,
    async prepare(items, own, purpose, places) {
      const batch = await common.prepare(items, own, purpose, places);
      captions.set(
        batch,
        items.map(({ caption }) => caption),
      );
      return batch;
    },
    model() {
      const weights = trainedWeights(step, config);
      return {
        entries: Array.from(weights.entries.values(), (entry) => ({ ...entry, dtype })),
        provide: async ({ name }) => convert(await weights.read(name), dtype),
      };
    },
    [Symbol.asyncDispose]: () => common.dispose(),
  };
}
