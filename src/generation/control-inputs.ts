/** What belongs to a request's controls and is not plain data: opened models and pictures. */

import { isReferenceMode } from '../diffusion/control/reference-modes.ts';
import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import type { ControlModel } from '../model/control-model.ts';
import { referenceControl } from '../model/reference-control.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { recordedModel } from './model-name.ts';
import type { RequestInputOf } from './request.ts';

/** A control's map at the size of the result. */
export interface ControlMap {
  /** float32 [1, 3, height, width] in [0, 1]; -1 where an inpainting network paints. */
  readonly hint: Tensor<'float32'>;
  /** The same without what is painted. */
  readonly colours: Tensor<'float32'>;
  /** float32 [1, 1, height, width] in [0, 1]: 1 is painted. */
  readonly mask?: Tensor<'float32'> | undefined;
}

/** The model and the pictures of one control. */
export interface ControlPictures {
  readonly model: ControlModel;
  /** What the preprocessor made of the picture, for callers that made it before; `picture` and `mask` are then not read. */
  readonly map?: ControlMap | undefined;
  /** Default: the image of the run, for img2img and inpaint. */
  readonly picture?: Image | undefined;
  /** White where an inpainting network is to paint. Default for its preprocessors: the mask of the run. */
  readonly mask?: Image | undefined;
  /** White where the control acts. */
  readonly region?: Image | undefined;
  /** The network of its preprocessor, for those that need one. */
  readonly annotator?: Annotator | undefined;
}

/** The model and the pictures of one image prompt. */
export interface ImagePromptPictures {
  readonly model: ControlModel;
  readonly pictures?: readonly Image[] | undefined;
  /** Instead of pictures: what an image encoder, or FaceID's recogniser, made of them, float32 [n, width] or [n, states, width]. */
  readonly embeddings?: Tensor<'float32'> | undefined;
  /** White where the pictures act. */
  readonly region?: Image | undefined;
}

type Input<T extends 'control' | 'imagePrompts'> = NonNullable<RequestInputOf<'txt2img'>[T]>[number];

/** A control as the library takes it. */
export type ControlOption = Omit<Input<'control'>, 'model'> &
  Omit<ControlPictures, 'model'> & {
    /** As `loadControl` opens it. The reference modes have none. */
    readonly model?: ControlModel | undefined;
  };
/** An image prompt as the library takes it. */
export type ImagePromptOption = Omit<Input<'imagePrompts'>, 'model'> & ImagePromptPictures;

export interface ControlOptions {
  /** ControlNets and T2I-Adapters, whose effects add up. Open them with `loadControl`. */
  readonly control?: readonly ControlOption[] | undefined;
  /** IP-Adapters: pictures as prompts. */
  readonly imagePrompts?: readonly ImagePromptOption[] | undefined;
}

/** The other half of the request's `control` and `imagePrompts`, in their order. */
export interface ControlInputs {
  readonly control: readonly ControlPictures[];
  readonly imagePrompts: readonly ImagePromptPictures[];
}

const isControlModel = (value: unknown): value is ControlModel =>
  typeof value === 'object' && value !== null && 'config' in value && 'run' in value && 'label' in value;

function refuse(field: string, expected: string): never {
  throw new StableDiffusionError('invalid-argument', `${field} must be ${expected}.`, { details: { field } });
}

function modelOf(
  field: string,
  { model, preprocessor }: { readonly model?: unknown; readonly preprocessor?: unknown },
): ControlModel {
  if (isReferenceMode(preprocessor)) {
    if (model === undefined || model === referenceControl) return referenceControl;
    refuse(`${field}.model`, `left out: ${preprocessor} needs none`);
  }
  if (isControlModel(model)) return model;
  return refuse(`${field}.model`, 'a control model, as loadControl opens it');
}

function checkKind(field: string, { label, config }: ControlModel, isImagePrompt: boolean): void {
  if ((config.kind === 'ip_adapter') === isImagePrompt) return;
  const right = isImagePrompt ? 'control' : 'imagePrompts';
  refuse(field, `of another kind: ${label} is given under ${right}`);
}

/** Splits controls into the request's fields and the rest. Throws `invalid-argument`, naming the field. */
export function splitControls({ control = [], imagePrompts = [] }: ControlOptions): {
  readonly fields: { readonly control?: readonly object[]; readonly imagePrompts?: readonly object[] };
  readonly inputs: ControlInputs;
} {
  if (!Array.isArray(control)) refuse('control', 'a list of controls');
  if (!Array.isArray(imagePrompts)) refuse('imagePrompts', 'a list of image prompts');
  const controls = control.map((one: ControlOption, i) => {
    const field = `control[${i}]`;
    const model = modelOf(field, one);
    checkKind(field, model, false);
    const { picture, mask, region, annotator, map, model: _, ...plain } = one;
    return {
      plain: { ...plain, model: recordedModel(model.label) },
      pictures: { model, picture, mask, region, annotator, map },
    };
  });
  const prompts = imagePrompts.map((one: ImagePromptOption, i) => {
    const field = `imagePrompts[${i}]`;
    const model = modelOf(field, one);
    checkKind(field, model, true);
    const { pictures, embeddings, region, model: _, ...plain } = one;
    if ((pictures === undefined || pictures.length === 0) === (embeddings === undefined))
      refuse(field, 'given pictures, or embeddings');
    return {
      plain: { ...plain, model: recordedModel(model.label) },
      pictures: { model, pictures, embeddings, region },
    };
  });
  return {
    fields: {
      ...(controls.length > 0 ? { control: controls.map(({ plain }) => plain) } : {}),
      ...(prompts.length > 0 ? { imagePrompts: prompts.map(({ plain }) => plain) } : {}),
    },
    inputs: {
      control: controls.map(({ pictures }) => pictures),
      imagePrompts: prompts.map(({ pictures }) => pictures),
    },
  };
}

/** Controls as plain data: of a request, or of one that was not checked yet. */
interface ControlNames {
  readonly control?: readonly object[] | undefined;
  readonly imagePrompts?: readonly object[] | undefined;
}

/** The options of a request's controls: the inverse of `splitControls`. */
export function joinControls({ control = [], imagePrompts = [] }: ControlNames, inputs: ControlInputs): ControlOptions {
  return {
    ...(control.length > 0
      ? { control: control.map((fields, i) => ({ ...fields, ...(inputs.control[i] as ControlPictures) })) }
      : {}),
    ...(imagePrompts.length > 0
      ? {
          imagePrompts: imagePrompts.map((fields, i) => ({
            ...fields,
            ...(inputs.imagePrompts[i] as ImagePromptPictures),
          })),
        }
      : {}),
  };
}
