/** LoRAs in a MODEL and a CLIP: merged into the weights as they are read. What of a file fits no layer is left out, as ComfyUI does. */

import { type LoraFile, openLora } from '../adapters/lora/lora-file.ts';
import { refuseLora, withLora } from '../adapters/lora/with-lora.ts';
import type { NetworkConfig } from '../config/network-config.ts';
import { StableDiffusionError } from '../errors.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { NodeContext } from './context-in-run.ts';
import { inHalfPrecision } from './half-precision.ts';
import type { ClipValue } from './values/clip.ts';
import type { ModelValue } from './values/model.ts';

/** The modules of a file that fit a network; without them the source as it is. */
function merged(source: WeightSource, config: NetworkConfig, lora: LoraFile, scale: number): WeightSource {
  try {
    return withLora(source, config, [{ lora, scale, textScale: scale }]);
  } catch (error) {
    if (!(error instanceof StableDiffusionError) || error.code !== 'weights-mismatch') throw error;
    const unknown = new Set(error.details['unknown'] as readonly string[]);
    const misshapen = (error.details['misshapen'] as readonly string[]).map((text) => text.split(' ')[0]);
    const modules = lora.modules.filter(
      ({ name, tensors }) =>
        !misshapen.includes(name) && ![...tensors.values()].some((entry) => unknown.has(entry.name)),
    );
    const isLess = modules.length < lora.modules.length || lora.unknown.length > 0;
    return isLess ? merged(source, config, { ...lora, modules, unknown: [] }, scale) : source;
  }
}

export interface LoraOptions {
  readonly model: ModelValue;
  readonly clip?: ClipValue | undefined;
  readonly name: string;
  readonly strength: number;
  readonly clipStrength: number;
}

/** Modules of the second text encoder under the name by which one network's are known. */
function forEncoder(lora: LoraFile, index: number): LoraFile {
  const own = index === 0 ? 'text' : 'text_2';
  const modules = lora.modules
    .filter(({ network }) => network === undefined || network === own)
    .map((module) => (module.network === own ? { ...module, network: 'text' as const } : module));
  return { ...lora, modules };
}

/** An attention of the UNet by PEFT's name, which ComfyUI does not know: it leaves these modules out. */
const peftAttention = /^unet\..*\.attn[12]\.to_(q|k|v|out\.0)\.lora_/;

/** A file as ComfyUI takes it: without PEFT's attentions, and DoRA's rows by the norms of the weight as it was. */
function asTaken(lora: LoraFile): LoraFile {
  const modules = lora.modules.filter(
    ({ tensors }) => ![...tensors.values()].some(({ name }) => peftAttention.test(name)),
  );
  return { ...lora, modules, rowNorms: 'original' };
}

/** Opens a LoRA. Throws what opening the file throws. */
export const openLoraFile = async (name: string, { files }: Pick<NodeContext, 'files'>): Promise<LoraFile> =>
  asTaken(openLora(await files.weights('loras', name)));

/** A network's weights with a LoRA. Throws `weights-mismatch` for a LoRA of another family. */
export function weightsWithLora(
  source: WeightSource,
  config: NetworkConfig,
  lora: LoraFile,
  strength: number,
): WeightSource {
  refuseLora(lora, source.label, config);
  return merged(source, config, lora, strength);
}

/** Text encoders with a LoRA. */
export function clipWithLora(clip: ClipValue, lora: LoraFile, strength: number, fullTextEncoder = false): ClipValue {
  const encoders = clip.encoders.map((encoder, i) => {
    const { config, weights } = encoder.network;
    const own = merged(weights, config, forEncoder(lora, i), strength);
    return { ...encoder, network: { ...encoder.network, weights: fullTextEncoder ? own : inHalfPrecision(own) } };
  });
  return { ...clip, encoders };
}

/** MODEL and CLIP with a LoRA; as they were at strength 0. Throws what opening the file throws. */
export async function loraApplied(
  { model, clip, name, strength, clipStrength }: LoraOptions,
  context: NodeContext,
): Promise<readonly [ModelValue, ClipValue | undefined]> {
  if (strength === 0 && clipStrength === 0) return [model, clip];
  const lora = await openLoraFile(name, context);
  const { network } = model;
  refuseLora(lora, network.weights.label, network.config);
  const weights = strength === 0 ? network.weights : merged(network.weights, network.config, lora, strength);
  const changed = strength === 0 ? model : { ...model, network: { ...network, weights } };
  if (!clip || clipStrength === 0) return [changed, clip];
  return [changed, clipWithLora(clip, lora, clipStrength, context.fullTextEncoder)];
}
