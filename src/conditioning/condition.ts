/**
 * The condition of a batch: what the caller gives for each picture, encoded once, and from it the guided model that samplers work on.
 *
 *     const guided = (await condition(model, batch))({ network, schedule, parameterization, scale: 7.5 });
 */

import { type ComposedPrompt, composedModel } from '../diffusion/composed-guidance.ts';
import type { DiffusionModel } from '../diffusion/denoiser.ts';
import { type Condition, guidedModel, type GuidedModelOptions } from '../diffusion/guidance.ts';
import { StableDiffusionError } from '../errors.ts';
import { joinInputs, takeInputs } from '../tensor/batches.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import type { ConditionedModel, Conditioner, EncodeOptions, Given, Layout, PictureSizes } from './conditioner.ts';
import { promptContexts, type PromptSettings } from './prompt-contexts.ts';

export interface ConditionedBatch {
  /** Pictures. */
  readonly batch: number;
  /** One for each picture. */
  readonly prompts: readonly string[];
  /** One for each picture. */
  readonly negatives: readonly string[];
  /** For a second text encoder, one for each picture. Default: as the first. */
  readonly secondPrompts?: readonly string[] | undefined;
  readonly secondNegatives?: readonly string[] | undefined;
  /** For class-conditional models, one per picture. */
  readonly classLabels?: readonly number[] | undefined;
  /** For models of boxes: those of every picture. */
  readonly layout?: Layout | undefined;
  readonly clipSkip?: number | undefined;
  /** Of the negative prompt in the plain syntax. Default: the same. */
  readonly negativeClipSkip?: number | undefined;
  /** Pixels of the pictures, for models that take them; `sizes` can add to them. */
  readonly size?: { readonly width: number; readonly height: number } | undefined;
  readonly sizes?: Partial<PictureSizes> | undefined;
  /** Of the negative prompt, where they differ. */
  readonly negativeSizes?: Partial<PictureSizes> | undefined;
  /** Clean prompts as captions, for models with T5's text encoder. Default true. */
  readonly cleanCaption?: boolean | undefined;
  /** Encode an empty negative prompt, for models that take zeros in its place. Default false. */
  readonly encodesEmpty?: boolean | undefined;
  /** True if guidance needs the unconditional counterpart. */
  readonly guided: boolean;
  /** Default `plain`. */
  readonly promptSyntax?: 'plain' | 'a1111' | undefined;
  readonly promptSettings?: PromptSettings | undefined;
  /** Calls of the network that a number of steps takes, for schedules in prompts. */
  readonly calls: (steps: number) => number;
  readonly steps: number;
  readonly signal?: AbortSignal | undefined;
}

export interface GuideOptions
  extends Pick<
    GuidedModelOptions,
    'network' | 'schedule' | 'parameterization' | 'scale' | 'rescale' | 'terms' | 'learnsVariance'
  > {
  /** Channels appended to those of the latent, for every pass. */
  readonly concat?: Tensor<'float32'> | undefined;
  /** Further inputs for every picture, and those of the unconditional pass where they differ. */
  readonly inputs?: Condition | undefined;
  readonly unconditionalInputs?: Condition | undefined;
  /** InstructPix2Pix: how strongly to follow the picture in `concat`. */
  readonly imageScale?: number | undefined;
  /** Calls that another model answered before this one, for schedules in prompts. Default 0. */
  readonly firstCall?: number | undefined;
}

/** Makes the guided model of one sampling run. */
export type Guide = (options: GuideOptions) => DiffusionModel;

/** Encodes the condition of a batch. Throws `invalid-argument` for what the model cannot take, `too-large`, and what the engine throws. */
export async function condition(model: ConditionedModel, batch: ConditionedBatch): Promise<Guide> {
  const { conditioner } = model;
  checkSecondTexts(model, batch);
  if (batch.promptSyntax === 'a1111') return composedGuide(await contextsOf(model, batch));
  const { clipSkip, cleanCaption, signal } = batch;
  const options = { clipSkip, cleanCaption, signal };
  const { sizes, negativeSizes } = sizesOf(batch);
  const conditional = await encodeDistinct(
    conditioner,
    { ...givenOf(model, batch), sizes: [sizes] },
    batch.batch,
    options,
  );
  const without = batch.guided ? emptyOf(conditioner, batch) : undefined;
  if (!without) return plainGuide(conditional, undefined);
  const negative = { ...without, secondTexts: batch.secondNegatives, sizes: [negativeSizes] };
  const encoded = await encodeDistinct(conditioner, negative, batch.batch, {
    clipSkip: batch.negativeClipSkip ?? clipSkip,
    cleanCaption,
    signal,
  });
  const isEmpty = batch.negatives.map((text, i) => text === '' && (batch.secondNegatives?.[i] ?? '') === '');
  const { zeroEmpty } = conditioner;
  return plainGuide(
    conditional,
    zeroEmpty && !batch.encodesEmpty && isEmpty.includes(true) ? zeroEmpty(encoded, isEmpty) : encoded,
  );
}

/** The refiner's aesthetic score for the negative prompt. */
const negativeAesthetic = 2.5;

/** Throws `invalid-argument` where texts for a second encoder would be dropped. */
function checkSecondTexts(
  { label, conditioner }: ConditionedModel,
  { secondPrompts, secondNegatives, promptSyntax }: ConditionedBatch,
): void {
  if (!secondPrompts && !secondNegatives) return;
  if (!conditioner.readsSecondTexts)
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} has no second text encoder, and a second prompt was given. Leave it out.`,
    );
  if (promptSyntax === 'a1111')
    throw new StableDiffusionError(
      'invalid-argument',
      "A second prompt is read in the plain syntax only, and A1111's was asked for. Leave one of them out.",
    );
}

/** The default: a complete picture of its own size; and those of the negative prompt. */
function sizesOf({ size = { width: 1024, height: 1024 }, sizes, negativeSizes }: ConditionedBatch): {
  readonly sizes: PictureSizes;
  readonly negativeSizes: PictureSizes;
} {
  const own = [size.height, size.width] as const;
  const positive: PictureSizes = { original: own, crop: [0, 0], target: own, ...sizes };
  return { sizes: positive, negativeSizes: { ...positive, aesthetic: negativeAesthetic, ...negativeSizes } };
}

function contextsOf(
  model: ConditionedModel,
  batch: ConditionedBatch,
): Promise<(call: number) => readonly ComposedPrompt[]> {
  const { emphasis, commaBacktrack, firstPassSteps, oldScheduling } = batch.promptSettings ?? {};
  return promptContexts(
    model,
    { ...batch, ...sizesOf(batch) },
    {
      emphasis,
      commaBacktrack,
      schedule: {
        steps: batch.calls(batch.steps),
        firstPassSteps: firstPassSteps && batch.calls(firstPassSteps),
        oldRule: oldScheduling,
      },
      signal: batch.signal,
    },
  );
}

/** A value for each picture. */
function givenOf(
  { label, conditioner }: ConditionedModel,
  { batch, prompts, secondPrompts, classLabels = [], layout }: ConditionedBatch,
): Given {
  if (conditioner.takes === 'layouts') return { layouts: layout && new Array<Layout>(batch).fill(layout) };
  if (conditioner.takes !== 'classes') return { texts: prompts, secondTexts: secondPrompts };
  if (classLabels.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} makes pictures of classes, and none was given. Give the number of a class.`,
    );
  return { classes: Array.from({ length: batch }, (_, i) => classLabels[i % classLabels.length] as number) };
}

/** The counterpart for guidance: negative prompts, or what the model takes as no condition. */
function emptyOf({ takes, empty }: Conditioner, { batch, negatives }: ConditionedBatch): Given | undefined {
  if (!empty || takes === 'texts') return empty && { texts: negatives };
  const [first] = empty.classes ?? [];
  return first === undefined ? empty : { classes: Array.from({ length: batch }, () => first) };
}

/** Encodes each distinct picture's values once; the rows come in the order of the pictures. */
async function encodeDistinct(
  conditioner: Conditioner,
  { texts, secondTexts, classes, sizes, layouts }: Given,
  count: number,
  options: EncodeOptions,
): Promise<Condition> {
  const keys = Array.from({ length: count }, (_, i) =>
    JSON.stringify([texts?.[i], secondTexts?.[i], classes?.[i], layouts?.[i]]),
  );
  const distinct = [...new Set(keys)];
  const first = distinct.map((key) => keys.indexOf(key));
  const encoded = await conditioner.encode(
    {
      texts: texts && first.map((i) => texts[i] as string),
      secondTexts: secondTexts && first.map((i) => secondTexts[i] as string),
      classes: classes && first.map((i) => classes[i] as number),
      sizes: sizes && first.map(() => sizes[0] as PictureSizes),
      layouts: layouts && first.map((i) => layouts[i] as Layout),
    },
    options,
  );
  if (distinct.length === count) return encoded;
  const rows = keys.map((key) => takeInputs(encoded, distinct.indexOf(key), distinct.indexOf(key) + 1));
  return joinInputs(rows);
}

/** The guide of prompts that are encoded already. Throws `invalid-argument` where guidance needs the negative one and there is none. */
export function encodedGuide(
  { prompt, negative }: { readonly prompt: Condition; readonly negative?: Condition | undefined },
  guided: boolean,
): Guide {
  if (guided && !negative)
    throw new StableDiffusionError(
      'invalid-argument',
      'Guidance needs the encoded negative prompt, and encoded has none. Give it, or set the guidance scale to 1.',
    );
  return plainGuide(prompt, guided ? negative : undefined);
}

function plainGuide(conditional: Condition, unconditional: Condition | undefined): Guide {
  return ({ concat, inputs, unconditionalInputs = inputs, imageScale, firstCall: _, ...common }) => {
    const withImage = (given: Condition): Condition => (concat ? { ...given, concat } : given);
    return guidedModel({
      ...common,
      condition: withImage({ ...conditional, ...inputs }),
      unconditional: unconditional && withImage({ ...unconditional, ...unconditionalInputs }),
      ...(imageScale !== undefined && concat
        ? { imageScale, imageUnconditional: { ...unconditional, concat: zeros('float32', concat.shape) } }
        : {}),
    });
  };
}

function composedGuide(promptsAt: (call: number) => readonly ComposedPrompt[]): Guide {
  return ({ imageScale, terms: _, ...common }) =>
    composedModel({
      ...common,
      promptsAt,
      byImage:
        imageScale !== undefined && common.concat
          ? { scale: imageScale, blank: zeros('float32', common.concat.shape) }
          : undefined,
    });
}
