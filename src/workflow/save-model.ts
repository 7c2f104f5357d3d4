/**
 * Models in files, as ComfyUI's CheckpointSave, ModelSave, CLIPSave and VAESave write them (comfy_extras/nodes_model_merging.py): safetensors
 * with the names of CompVis's checkpoints, and the graph in their metadata. Tensors are written one after another as they are read.
 */

import { configKey } from '../checkpoints/checkpoint.ts';
import { conditionerPrefix } from '../checkpoints/infer/condition.ts';
import { singleFileNames } from '../checkpoints/text-tower.ts';
import { yamlOf } from '../config/ldm-yaml.ts';
import { writeSafetensors } from '../formats/safetensors-write.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { memoryWeights } from '../weights/memory-weights.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';
import { joined, withNames, withPrefix } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { NodeContext } from './context-in-run.ts';
import { numberedName } from './numbered-name.ts';
import { workflowTexts } from './pictures.ts';
import type { ClipValue, TextEncoderValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';
import type { VaeValue } from './values/vae.ts';

type Texts = readonly (readonly [key: string, text: string])[];

/** Writes `PREFIX_00001_.safetensors` into the output folder. Throws `forbidden` for a prefix that leaves it. */
async function saveWeights(
  source: WeightSource,
  prefix: string,
  textsOf: (title: string) => Texts,
  context: NodeContext,
): Promise<void> {
  const { files, signal } = context;
  const { subfolder, name, counter } = await files.place('output', prefix);
  const metadata = new Map([...textsOf(`${name} ${counter}`), ...workflowTexts(context)]);
  const chunks = writeSafetensors(source.entries.values(), (entry) => source.read(entry.name, signal), {
    metadata,
    ...(signal ? { signal } : {}),
  });
  await files.write('output', subfolder, numberedName(name, counter, 'safetensors'), chunks);
}

/** Stability AI's name of an architecture, for SDXL alone. */
function architectureOf({ network, config }: ModelValue): string | undefined {
  const { adm_in_channels, in_channels, out_channels } = network.config;
  if (typeof adm_in_channels !== 'number' || config.image_condition) return undefined;
  const isRefiner = network.config.channel_mult.length === 4;
  const kind = isRefiner ? 'refiner' : in_channels === 2 * out_channels ? 'edit' : 'base';
  return `stable-diffusion-xl-v1-${kind}`;
}

function modelTexts(model: ModelValue, title: string): Texts {
  const architecture = architectureOf(model);
  const spec: Texts =
    architecture === undefined
      ? []
      : [
          ['modelspec.architecture', architecture],
          ['modelspec.sai_model_spec', '1.0.0'],
          ['modelspec.implementation', 'sgm'],
          ['modelspec.title', title],
        ];
  return [...spec, ['modelspec.predict_key', model.config.parameterization === 'v' ? 'v' : 'epsilon']];
}

/** Empty tensors by which ComfyUI knows v-prediction and zero terminal SNR. */
function marksOf({ config }: ModelValue): WeightSource[] {
  if (config.parameterization !== 'v') return [];
  const marks = new Map<string, Tensor>([['v_pred', float32([0], [])]]);
  if (config.rescale_betas_zero_snr) marks.set('ztsnr', float32([0], []));
  return [memoryWeights(marks, 'marks')];
}

const isXl = ({ encoders }: ClipValue): boolean => encoders.some(({ name }) => name === 'g');

const textNames = ({ network }: TextEncoderValue): WeightSource => singleFileNames(network.weights, network.config);

/** The three parts of a model in one file. */
export async function saveCheckpoint(
  { model, clip, vae }: { readonly model: ModelValue; readonly clip: ClipValue; readonly vae: VaeValue },
  prefix: string,
  context: NodeContext,
): Promise<void> {
  const prefixOf = (i: number): string =>
    isXl(clip) ? `${conditionerPrefix}embedders.${i}.` : partPrefixes.cond_stage;
  const source = joined(
    [
      withPrefix(model.network.weights, partPrefixes.unet),
      withPrefix(vae.network.weights, partPrefixes.first_stage),
      ...clip.encoders.map((encoder, i) => withPrefix(textNames(encoder), prefixOf(i))),
      ...marksOf(model),
    ],
    model.label,
  );
  const yaml = yamlOf(model.config);
  const own: Texts = yaml === undefined ? [] : [[configKey, yaml]];
  await saveWeights(source, prefix, (title) => [...modelTexts(model, title), ...own], context);
}

/** A UNet alone, under the names that it has in a checkpoint. */
export async function saveModel(model: ModelValue, prefix: string, context: NodeContext): Promise<void> {
  const unet = withPrefix(model.network.weights, partPrefixes.unet);
  const source = joined([unet, ...marksOf(model)], model.label);
  await saveWeights(source, prefix, (title) => modelTexts(model, title), context);
}

/** Each text encoder in a file of its own, `PREFIX_clip_l`, with the names of transformers. */
export async function saveClip({ encoders }: ClipValue, prefix: string, context: NodeContext): Promise<void> {
  for (const { name, network } of encoders) {
    const bare = withNames(network.weights, (own) => own.replace(/^transformer\./, ''));
    await saveWeights(bare, `${prefix}_clip_${name}`, () => [], context);
  }
}

export const saveVae = ({ network }: VaeValue, prefix: string, context: NodeContext): Promise<void> =>
  saveWeights(network.weights, prefix, () => [], context);
