/**
 * The condition of an adapter's loss on texts: CLIP's text encoder, or SDXL's two with the sizes of the picture (Podell et al. 2023,
 * arXiv 2307.01952, section 2.2; diffusers' train_dreambooth_lora_sdxl.py).
 */

import type { LoraNetwork } from '../../adapters/lora/lora-keys.ts';
import type { Checkpoint } from '../../checkpoints/checkpoint.ts';
import { clipLayer } from '../../conditioning/clip.ts';
import { pictureVector } from '../../conditioning/sizes.ts';
import type { SizesConfig } from '../../config/composed-conditioner.ts';
import { conditionerPart } from '../../config/conditioner-parts.ts';
import type { ClipTextConfig } from '../../config/network-config.ts';
import type { Engine } from '../../engine/engine.ts';
import { StableDiffusionError } from '../../errors.ts';
import { dim } from '../../graph/dim.ts';
import { concat } from '../../graph/functions.ts';
import type { InputSpec, Params, Sym } from '../../graph/trace.ts';
import { clipText, traceClipText } from '../../models/clip-text.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import { partModules } from '../../weights/part-prefixes.ts';
import type { TrainingItem } from '../data/sample.ts';

/** A text encoder and its names. */
export interface TextTower {
  readonly config: ClipTextConfig;
  /** Of its layers in LoRA files. */
  readonly network: Exclude<LoraNetwork, 'unet'>;
  /** Among the checkpoint's parts. */
  readonly part: string;
  /** Of its parameters in the loss's graph, without the dot. */
  readonly prefix: string;
  /** Its token ids among the loss's inputs, int64 [batch, tokens]. */
  readonly input: string;
}

export interface TextCondition {
  readonly towers: readonly TextTower[];
  /** The sizes of the picture, which stand behind the pooled text in the vector. */
  readonly sizes?: SizesConfig | undefined;
}

/** The loss's input of the embedded sizes, float32 [batch, width]. */
export const sizesInput = 'sizes';

/** The condition on these encoders, in order. */
export function textCondition(configs: readonly ClipTextConfig[], sizes?: SizesConfig): TextCondition {
  const towers = configs.map((config, i): TextTower => {
    const behind = i === 0 ? '' : `_${i + 1}`;
    return {
      config,
      network: i === 0 ? 'text' : 'text_2',
      part: conditionerPart(i),
      prefix: partModules.cond_stage + behind,
      input: `input_ids${behind}`,
    };
  });
  return { towers, sizes };
}

/** The condition of a checkpoint. Throws `invalid-argument` where it is not on texts by CLIP. */
export function textConditionOf({ config: { cond_stage_config: stage }, label }: Checkpoint): TextCondition {
  if (typeof stage === 'object' && stage?.kind === 'clip_text') return textCondition([stage]);
  if (typeof stage === 'object' && stage?.kind === 'composed') {
    const texts = stage.embedders.flatMap((one) => (one.kind === 'clip_text' ? [one] : []));
    const sizes = stage.embedders.find((one) => one.kind === 'sizes');
    if (texts.length > 0 && texts.length <= 2) return textCondition(texts, sizes);
  }
  throw new StableDiffusionError(
    'invalid-argument',
    `${label} has no CLIP text encoder; adapters are trained for text-to-image models of Stable Diffusion's kind.`,
  );
}

const sizesWidth = ({ fields, width }: SizesConfig): number =>
  fields.reduce((sum, field) => sum + (field === 'aesthetic' ? 1 : 2), 0) * width;

/** Inputs of the loss for an encoder that is part of it. */
export function conditionInputs({ towers, sizes }: TextCondition): Readonly<Record<string, InputSpec>> {
  const batch = dim('batch');
  return {
    ...Object.fromEntries(
      towers.map(({ input }) => [input, { dtype: 'int64', shape: [batch, dim('tokens')] }] as const),
    ),
    ...(sizes ? { [sizesInput]: { dtype: 'float32', shape: [batch, sizesWidth(sizes)] } as const } : {}),
  };
}

/** The UNet's `context` and `y` from the loss's inputs: contexts side by side, the pooled text and the sizes one behind the other. */
export function tracedCondition(
  p: Params,
  { towers, sizes }: TextCondition,
  given: Readonly<Record<string, Sym | undefined>>,
  clipSkip: number,
): { readonly context: Sym; readonly y?: Sym } {
  const states: Sym[] = [];
  const vectors: Sym[] = [];
  for (const { config, prefix, input } of towers) {
    const outputs = clipText(p.under(prefix), config, given[input] as Sym);
    const { layer, isNormed } = clipLayer(config, clipSkip);
    states.push((isNormed ? outputs.finalNorms : outputs.hiddenStates)[layer] as Sym);
    if (config.pooled_output && outputs.textEmbeds) vectors.push(outputs.textEmbeds);
  }
  if (sizes) vectors.push(given[sizesInput] as Sym);
  const joined = (values: readonly Sym[], axis: number): Sym =>
    values.length === 1 ? (values[0] as Sym) : concat(values, axis);
  return { context: joined(states, 2), ...(vectors.length > 0 ? { y: joined(vectors, 1) } : {}) };
}

/** Token ids of each encoder → `context` and the pooled text. */
export interface FrozenTexts {
  readonly encode: (ids: readonly Tensor<'int64'>[]) => Promise<{
    readonly context: Tensor<'float32'>;
    readonly pooled?: Tensor<'float32'>;
  }>;
  dispose(): Promise<void>;
}

/** The text encoders as programs of their own, for losses that do not train them. */
export async function frozenTexts(
  engine: Engine,
  { parts }: Checkpoint,
  { towers }: TextCondition,
  clipSkip: number,
): Promise<FrozenTexts> {
  const programs = await Promise.all(
    towers.map(async ({ config, part }) => {
      const outputs = [clipLayer(config, clipSkip).output, ...(config.pooled_output ? ['text_embeds'] : [])];
      return {
        outputs,
        program: await engine.compile(traceClipText(config, { outputs }), parts[part] as Checkpoint['parts']['unet']),
      };
    }),
  );
  return {
    async encode(ids) {
      const contexts: Tensor<'float32'>[] = [];
      const pooled: Tensor<'float32'>[] = [];
      for (const [i, { program, outputs }] of programs.entries()) {
        const made = await program.run({ input_ids: ids[i] as Tensor }, { outputs });
        const [context, vector] = outputs.map((name) => made[name]);
        if (!context) throw new StableDiffusionError('engine-failed', 'The text encoder returned no context.');
        contexts.push(expectDType(context, 'float32'));
        if (vector) pooled.push(expectDType(vector, 'float32'));
      }
      const joined = (values: readonly Tensor<'float32'>[], axis: number): Tensor<'float32'> =>
        concatenate(values as [Tensor<'float32'>], axis);
      return { context: joined(contexts, 2), ...(pooled.length > 0 ? { pooled: joined(pooled, 1) } : {}) };
    },
    async dispose() {
      await Promise.all(programs.map(({ program }) => program.dispose()));
    },
  };
}

/** The sizes of prepared pictures as the model takes them. Throws `invalid-argument` for an item that does not have them. */
export function itemSizes(sizes: SizesConfig, items: readonly TrainingItem[]): Tensor<'float32'> {
  return pictureVector(
    sizes,
    items.map((item) => {
      const own = 'image' in item ? item.sizes : undefined;
      if (own && 'image' in item) return { ...own, target: [item.image.height, item.image.width] };
      throw new StableDiffusionError(
        'invalid-argument',
        `The size of ${item.name} before it was cut is not known, and the model is trained with it. Leave latent_cache, min_crop_f and crop=adm out.`,
      );
    }),
  );
}
