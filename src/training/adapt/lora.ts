/** Trains a LoRA: factors of the UNet's layers, and optionally of the text encoder's (Hu et al. 2022; kohya's train_network.py, diffusers' train_text_to_image_lora.py). */

import { clipLayer } from '../../conditioning/clip.ts';
import { type ClipTextConfig, ldmUNet } from '../../config/network-config.ts';
import type { Tensors } from '../../engine/engine.ts';
import { networkParameters } from '../../models/index.ts';
import { TorchGenerator } from '../../random/torch-generator.ts';
import { elementCount, expectDType, type Shape, type Tensor, zeros } from '../../tensor/tensor.ts';
import {
  type LoraFactors,
  type LoraLayout,
  loraMetadata,
  loraTensors,
  type WriteLoraOptions,
} from '../../adapters/lora/write-lora.ts';
import { mixSeed } from '../data/sample-order.ts';
import { openLora } from '../../adapters/lora/lora-file.ts';
import type { LoraNetwork } from '../../adapters/lora/lora-keys.ts';
import { checkpointWithLora } from '../../adapters/lora/with-lora.ts';
import { memoryWeights } from '../../weights/memory-weights.ts';
import type { TrainStep } from '../step/train-step.ts';
import type { Trainee } from '../trainee.ts';
import { unetPrefix } from './adapter-loss.ts';
import { type AdapterModelOptions, createAdapterStep } from './adapter-trainee.ts';
import { type LoraParameters, type LoraPath, loraParameters, withLoraPaths } from './lora-graph.ts';
import { loraPaths, type LoraSettings } from './lora-targets.ts';
import { textConditionOf } from './text-condition.ts';

export interface LoraTrainingOptions extends AdapterModelOptions {
  /** Factors of the UNet's layers; false trains only the text encoder. Default: rank 4 on every attention. */
  readonly unet?: LoraSettings | false;
  /** Factors of the text encoders' layers. Default: none. */
  readonly text?: LoraSettings;
  /** Factor on the text encoder's learning rate. Default 1. */
  readonly textLearningRateScale?: number;
  /** Probability that an element of a layer's input is left out of its path. Default 0. */
  readonly dropout?: number;
  /** Seed of the factors' initial values and of dropout. Default 0. */
  readonly seed?: number;
  /** Initial factors; missing ones are initialised. */
  readonly start?: readonly LoraFactors[];
  /** The file layout of `model()`. Default kohya, float32. */
  readonly output?: Pick<WriteLoraOptions, 'dtype' | 'metadata'> & { readonly layout?: LoraLayout };
}

export interface LoraTrainee extends Trainee<Tensors> {
  /** The current factors, for `writeLora`. */
  factors(): Promise<LoraFactors[]>;
}

interface Layer {
  readonly network: LoraNetwork;
  /** Canonical name within its network. */
  readonly tensor: string;
  readonly path: LoraPath;
  readonly parameters: LoraParameters;
}

/** Whether the condition depends on a layer: one behind the state that is used does not get a gradient. */
function isUsed(name: string, config: ClipTextConfig, clipSkip: number): boolean {
  const layer = Number(/\.encoder\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
  return config.pooled_output || layer < clipLayer(config, clipSkip).layer;
}

function layersOf(options: LoraTrainingOptions): Layer[] {
  const { checkpoint, clipSkip = 1 } = options;
  const networks = [
    {
      network: 'unet' as const,
      config: checkpoint.config.unet_config,
      prefix: `${unetPrefix}.`,
      settings: options.unet === false ? undefined : (options.unet ?? {}),
    },
    ...textConditionOf(checkpoint).towers.map(({ network, config, prefix }) => ({
      network,
      config,
      prefix: `${prefix}.`,
      settings: options.text,
    })),
  ];
  return networks.flatMap(({ network, config, prefix, settings }) => {
    if (!settings) return [];
    const parameters = networkParameters(config).filter(
      ({ name }) => config.kind !== 'clip_text' || isUsed(name, config, clipSkip),
    );
    const shapes = new Map<string, Shape>(parameters.map(({ name, shape }) => [prefix + name, shape]));
    return loraPaths(parameters, prefix, settings).map((path) => ({
      network,
      path,
      tensor: path.weight.slice(prefix.length),
      parameters: loraParameters(path, shapes.get(path.weight) ?? []),
    }));
  });
}

/** Initial values: `down` as PyTorch initialises a linear layer (uniform within 1 / √in), `up` zero, so that training starts from the unchanged model. */
function firstValues(layers: readonly Layer[], { start = [], seed = 0 }: LoraTrainingOptions): Map<string, Tensor> {
  const given = new Map(start.map((factor) => [`${factor.network} ${factor.tensor}`, factor]));
  return new Map(
    layers.flatMap(({ network, tensor, parameters: { down, up } }, i): [string, Tensor][] => {
      const factor = given.get(`${network} ${tensor}`);
      if (factor)
        return [
          [down.name, factor.down],
          [up.name, factor.up],
        ];
      const bound = 1 / Math.sqrt(elementCount(down.shape.slice(1)));
      return [
        [down.name, new TorchGenerator(mixSeed(seed, i)).rand(down.shape, -bound, bound)],
        [up.name, zeros('float32', up.shape)],
      ];
    }),
  );
}

/**
 * A LoRA to be trained. Compiles the gradient; the checkpoint's weights are built into the program and do not change.
 * @throws `invalid-argument` for models without CLIP's text encoder and for settings that choose no layer
 */
export async function createLoraTrainee(options: LoraTrainingOptions): Promise<LoraTrainee> {
  const layers = layersOf(options);
  const added = firstValues(layers, options);
  const { textLearningRateScale = 1, weightDecay, dropout, seed } = options;
  const factorsOf = (tensors: Readonly<Record<string, Tensor>>): LoraFactors[] =>
    layers.map(({ network, tensor, path, parameters: { down, up } }) => ({
      network,
      tensor,
      alpha: path.alpha,
      down: expectDType(tensors[down.name] as Tensor, 'float32'),
      up: expectDType(tensors[up.name] as Tensor, 'float32'),
    }));
  const factors = async (step: TrainStep): Promise<LoraFactors[]> =>
    factorsOf(await step.parameters([...added.keys()]));
  const [first, second] = textConditionOf(options.checkpoint).towers;
  const write: WriteLoraOptions = {
    layout: 'kohya',
    ...options.output,
    unet: ldmUNet(options.checkpoint.config.unet_config),
    ...(first ? { text: first.config } : {}),
    text2: second?.config,
  };
  const common = await createAdapterStep(options, {
    traceText: options.text !== undefined,
    adapt: (graph) =>
      withLoraPaths(
        graph,
        layers.map(({ path }) => path),
        dropout ? { dropout } : {},
      ),
    added: memoryWeights(added),
    adapted: async (step) => ({
      checkpoint: checkpointWithLora(options.checkpoint, [
        { lora: openLora(memoryWeights(loraTensors(await factors(step), write))) },
      ]),
    }),
    treatment: (name) => {
      if (!added.has(name)) return 'fixed';
      return {
        weightDecay,
        ...(name.startsWith(`${unetPrefix}.`) ? {} : { learningRateScale: textLearningRateScale }),
      };
    },
    seed,
  });
  return {
    ...common,
    factors: () => factors(common.step),
    model() {
      const blank = factorsOf(Object.fromEntries(added));
      let now: Promise<Map<string, Tensor>> | undefined;
      return {
        entries: Array.from(loraTensors(blank, write), ([name, { dtype, shape }]) => ({ name, dtype, shape })),
        async provide({ name }) {
          now ??= factors(common.step).then((made) => loraTensors(made, write));
          return (await now).get(name) as Tensor;
        },
        metadata: loraMetadata(blank, write),
      };
    },
    [Symbol.asyncDispose]: () => common.dispose(),
  };
}
