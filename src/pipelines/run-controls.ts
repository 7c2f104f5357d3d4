/** The controls of a run: its pictures become maps and tokens once; each batch gets the denoiser under them. */

import { controlKindName } from '../checkpoints/control-file.ts';
import type { GroundedObjects } from '../diffusion/control/grounding-unit.ts';
import type { ControlProgress, ControlWindowRule } from '../diffusion/control/control-window.ts';
import { StableDiffusionError } from '../errors.ts';
import type { ControlInputs, ControlMap, ControlPictures, ImagePromptPictures } from '../generation/control-inputs.ts';
import type { ControlFields, ImagePromptFields } from '../generation/control-fields.ts';
import type { Batch } from '../generation/batches.ts';
import type { AnyInputs } from '../generation/inputs.ts';
import type { PictureDigests } from '../generation/record.ts';
import type { GenerationRequest } from '../generation/request.ts';
import { blendKnown, resultShare } from '../image/blend-known.ts';
import type { Image } from '../image/image.ts';
import { type ControlledDenoiser, controlledDenoiser } from '../model/controlled-denoiser.ts';
import { type ControlModel, embeddedTokens, imageTokens } from '../model/control-model.ts';
import { groundedObjects, phraseEmbeddings } from '../model/grounded-objects.ts';
import { type ControlInput, type ControlPlan, planControls } from '../model/control-units.ts';
import type { Model } from '../model/model.ts';
import { scale } from '../tensor/arithmetic.ts';
import { bytesOf, type Tensor, tensor } from '../tensor/tensor.ts';
import { controlMap, planeOf, takesLatent, takesMask } from './control-maps.ts';
import { digest, digestBytes } from './digest.ts';
import { referenceNoise } from './reference-noise.ts';
import type { PictureSize } from './picture-size.ts';
import { inShares } from '../image/image-tensor.ts';

export interface RunControls {
  readonly digests: { readonly control?: readonly PictureDigests[]; readonly imagePrompts?: readonly PictureDigests[] };
  /** The denoiser under the controls, and the count of steps to keep up to date. */
  denoiser(steps: number, batch: Batch): Promise<ControlledDenoiser & { readonly progress: ControlProgress }>;
  /** The decoded pictures of a batch, float32 [b, 3, h, w] in [-1, 1], after the controls that lay their picture over the result. */
  revise(decoded: Tensor<'float32'>): Promise<Tensor<'float32'>>;
}

export interface ControlledRun {
  readonly model: Model;
  readonly request: GenerationRequest;
  readonly inputs: AnyInputs;
  readonly size: PictureSize;
}

/** How a run's controls count their steps. */
export function windowRuleOf({
  controlRule,
  noise,
}: Pick<GenerationRequest, 'controlRule' | 'noise'>): ControlWindowRule {
  return controlRule ?? (noise === 'diffusers' || noise === 'comfy' ? noise : 'a1111');
}

function missing({ model: { label, config } }: ControlPictures): never {
  throw new StableDiffusionError(
    'invalid-argument',
    `${label}: this ${controlKindName(config)} needs a picture, and the run has none either.`,
  );
}

/** The scaled latent of colours in [0, 1]: the mean of the first stage. */
async function latentOf({ model, inputs }: ControlledRun, colours: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const signed = colours.data.map((value) => 2 * value - 1);
  const { mean } = await model.encodeImage(tensor('float32', colours.shape, signed), inputs.signal);
  return scale(mean, model.checkpoint.config.scale_factor);
}

function checkedMap(map: ControlMap, { width, height }: PictureSize, label: string): ControlMap {
  const { shape } = map.hint;
  if (shape.join() === [1, 3, height, width].join()) return map;
  throw new StableDiffusionError(
    'shape-mismatch',
    `${label}: the map of this control has shape [${shape.join(', ')}]; for the picture it must be [1, 3, ${height}, ${width}].`,
  );
}

/** GLIGEN's objects: their phrases by the model's own text encoder. */
async function objectsOf(
  { model, inputs: { signal } }: ControlledRun,
  control: ControlModel,
  { objects = [] }: ControlFields,
): Promise<GroundedObjects> {
  if (objects.length === 0)
    throw new StableDiffusionError(
      'invalid-argument',
      `${control.label}: GLIGEN needs objects, each with a phrase and a box.`,
    );
  const phrases = objects.map(({ phrase }) => phrase);
  const boxes = objects.map(({ box }) => box);
  return groundedObjects(control, await phraseEmbeddings(model, phrases, signal), boxes, signal);
}

/** A control with its tensors. A control without a picture of its own takes the run's. */
async function controlInput(run: ControlledRun, fields: ControlFields, given: ControlPictures): Promise<ControlInput> {
  const { inputs, size } = run;
  const { model: control, region } = given;
  const { weight, mode, start, end, layerWeights } = fields;
  const common = {
    control,
    weight,
    mode,
    window: { start, end },
    layerWeights,
    region: region && planeOf(region, size),
  };
  if (control.config.kind === 'gligen') return { ...common, objects: await objectsOf(run, control, fields) };
  const picture = (): Image => given.picture ?? inputs.image ?? missing(given);
  if (control.config.kind === 't2i_style') {
    const seen = await control.see(control.pixelsOf([picture()]), 'last_hidden_state', inputs.signal);
    return { ...common, hiddenStates: seen };
  }
  const { preprocessor, thresholdA, thresholdB } = fields;
  const { hint, colours, mask } = given.map
    ? checkedMap(given.map, size, control.label)
    : await controlMap({
        fields,
        annotator: given.annotator,
        picture: picture(),
        mask: takesMask(fields) ? (given.mask ?? inputs.mask) : undefined,
        size,
        seed: Number(BigInt.asUintN(32, BigInt(run.request.seed))),
        byContent: windowRuleOf(run.request) === 'a1111',
      });
  if (!takesLatent(fields)) return { ...common, hint };
  const latent = await latentOf(run, colours);
  return { ...common, hint, known: { latent, colours, mask, preprocessor, thresholdA, thresholdB } };
}

async function imagePromptInput(
  run: ControlledRun,
  fields: ImagePromptFields,
  given: ImagePromptPictures,
): Promise<ControlInput> {
  const { model: control, pictures = [], embeddings, region } = given;
  const { weight, start, end } = fields;
  const { signal } = run.inputs;
  return {
    control,
    weight,
    mode: 'balanced',
    window: { start, end },
    tokens: embeddings
      ? await embeddedTokens(control, embeddings, undefined, signal)
      : await imageTokens(control, pictures, signal),
    region: region && planeOf(region, run.size),
  };
}

interface PreparedPlan extends ControlPlan {
  /** Pictures to lay over the result, each with its mask. */
  readonly kept: readonly Pick<ControlMap, 'colours' | 'mask'>[];
}

async function planOf(run: ControlledRun, { control, imagePrompts }: ControlInputs): Promise<PreparedPlan> {
  const { request, model, inputs } = run;
  const given: ControlInput[] = [];
  for (const [i, one] of control.entries())
    given.push(await controlInput(run, request.control?.[i] as ControlFields, one));
  for (const [i, one] of imagePrompts.entries())
    given.push(await imagePromptInput(run, request.imagePrompts?.[i] as ImagePromptFields, one));
  const kept = given.flatMap(({ known }) => (known?.preprocessor.includes('inpaint_only') ? [known] : []));
  return { ...(await planControls(model, given, inputs.signal)), kept };
}

/** Values from [0, 1] in [-1, 1]: the opposite of `inShares`. */
const fromShares = (values: Tensor<'float32'>): Tensor<'float32'> => ({
  ...values,
  data: values.data.map((value) => 2 * value - 1),
});

const digestOf = async (image: Image | undefined): Promise<string | undefined> => image && digest(image);

async function digestsOf({ control, imagePrompts }: ControlInputs): Promise<RunControls['digests']> {
  const ofControls = control.map(async ({ picture, mask, region }) => ({
    pictures: picture ? [await digest(picture)] : [],
    mask: await digestOf(mask),
    region: await digestOf(region),
  }));
  const ofPrompts = imagePrompts.map(async ({ pictures = [], embeddings, region }) => ({
    pictures: embeddings ? [await digestBytes(bytesOf(embeddings))] : await Promise.all(pictures.map(digest)),
    region: await digestOf(region),
  }));
  return {
    ...(control.length > 0 ? { control: await Promise.all(ofControls) } : {}),
    ...(imagePrompts.length > 0 ? { imagePrompts: await Promise.all(ofPrompts) } : {}),
  };
}

/** Undefined for a run without controls. Throws `invalid-argument` for a control without its picture, `weights-mismatch` for one that does not fit. */
export async function runControls(run: ControlledRun): Promise<RunControls | undefined> {
  const { model, request, inputs } = run;
  const { controls } = inputs;
  if (!controls || controls.control.length + controls.imagePrompts.length === 0) return undefined;
  if (request.patches)
    throw new StableDiffusionError(
      'invalid-argument',
      'Controls and patches cannot be used together. Leave out control and imagePrompts, or patches.',
    );
  let plan: Promise<PreparedPlan> | undefined;
  return {
    digests: await digestsOf(controls),
    async denoiser(steps, batch) {
      plan ??= planOf(run, controls);
      const progress: ControlProgress = { finished: 0, steps };
      const { schedule, parameterization } = model;
      const denoiser = await controlledDenoiser(model, await plan, {
        schedule,
        parameterization,
        rule: windowRuleOf(request),
        progress,
        noise: referenceNoise(request, batch),
      });
      return { ...denoiser, progress };
    },
    async revise(decoded) {
      const { kept = [] } = (await plan) ?? {};
      let pictures = inShares(decoded);
      for (const { colours, mask } of kept) if (mask) pictures = blendKnown(pictures, colours, resultShare(mask));
      return kept.length === 0 ? decoded : fromShares(pictures);
    },
  };
}
