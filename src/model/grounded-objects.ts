/** Phrases in boxes as GLIGEN's objects, by its position network. */

import { StableDiffusionError } from '../errors.ts';
import type { GroundedObjects } from '../diffusion/control/grounding-unit.ts';
import { boxFeatures, type ObjectBox } from '../models/gligen.ts';
import { expectDType, float32, type Tensor, zeros } from '../tensor/tensor.ts';
import type { ControlModel } from './control-model.ts';
import type { Model } from './model.ts';

/** Places for objects that GLIGEN was trained with. */
const mostObjects = 30;

/** The pooled embeddings of phrases, float32 [n, width]. Throws `invalid-argument` for a model without CLIP's text encoder. */
export async function phraseEmbeddings(
  model: Model,
  phrases: readonly string[],
  signal?: AbortSignal,
): Promise<Tensor<'float32'>> {
  const config = model.networkConfig('cond_stage');
  if (config?.kind !== 'clip_text' || !model.clipTokenizer)
    throw new StableDiffusionError('invalid-argument', `GLIGEN needs CLIP's text encoder, which ${model.label} lacks.`);
  const { ids } = model.tokenize(phrases);
  const { pooled } = await model.networks.run(
    { network: 'cond_stage', outputs: ['pooled'] },
    { input_ids: ids },
    signal,
  );
  return expectDType(pooled as Tensor, 'float32', 'pooled');
}

/** `embeddings` float32 [n, context_dim] belong to the boxes. */
export async function groundedObjects(
  control: ControlModel,
  embeddings: Tensor<'float32'>,
  boxes: readonly ObjectBox[],
  signal?: AbortSignal,
): Promise<GroundedObjects> {
  const { config, label } = control;
  if (config.kind !== 'gligen')
    throw new StableDiffusionError('invalid-argument', `${label} takes no objects; only GLIGEN's networks do.`);
  const { context_dim: width, position_dim: features } = config;
  const count = mostObjects;
  const [phrases, places, used] = [
    zeros('float32', [1, count, width]),
    zeros('float32', [1, count, features]),
    zeros('float32', [1, count, 1]),
  ];
  for (const [i, box] of boxes.slice(0, count).entries()) {
    phrases.data.set(embeddings.data.subarray(i * width, (i + 1) * width), i * width);
    places.data.set(boxFeatures(box, features / 8), i * features);
    used.data[i] = 1;
  }
  const run = async (mask: Tensor<'float32'>): Promise<Tensor<'float32'>> => {
    const { objects } = await control.run({ phrases, boxes: places, used: mask }, signal);
    return expectDType(objects as Tensor, 'float32', 'objects');
  };
  return { conditional: await run(used), unconditional: await run(float32([1, count, 1], new Float32Array(count))) };
}
