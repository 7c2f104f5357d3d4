/** Splits a library call's options into the request, which is plain data and checked by its schema, and the other inputs, checked here. */

import type { Sampler } from '../diffusion/sampler.ts';
import { StableDiffusionError } from '../errors.ts';
import { checkRequest } from './check-request.ts';
import { type ControlInputs, splitControls } from './control-inputs.ts';
import { recordedModel } from './model-name.ts';
import { type AnyInputs, type GivenTensors, type TaskOptions, tensorAxes } from './inputs.ts';
import { presetDefaults } from './presets.ts';
import type { GenerationRequest } from './request.ts';
import { definedFields } from '../config/defined-fields.ts';

export interface SplitOptions {
  readonly request: GenerationRequest;
  readonly inputs: AnyInputs;
}

function refuse(field: string, expected: string): never {
  throw new StableDiffusionError('invalid-argument', `${field} must be ${expected}.`, { details: { field } });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

function isSampler(value: unknown): value is Sampler {
  return isObject(value) && typeof value['name'] === 'string' && typeof value['run'] === 'function';
}

function checkImage(field: string, value: unknown): void {
  const expected = 'an image: width, height, channels, and data of width * height * channels bytes';
  if (!isObject(value)) refuse(field, expected);
  const { width, height, channels, data } = value;
  const size = Number(width) * Number(height) * Number(channels);
  if (!(Number.isSafeInteger(size) && size > 0 && isObject(data) && data['length'] === size)) refuse(field, expected);
}

function checkTensor(field: string, value: unknown, axes: number): void {
  const expected = `a float32 tensor of ${axes} axes with as many values as its shape says`;
  if (!isObject(value)) refuse(field, expected);
  const { dtype, shape, data } = value;
  if (dtype !== 'float32' || !Array.isArray(shape) || shape.length !== axes || !(data instanceof Float32Array))
    refuse(field, expected);
  if (shape.reduce<number>((count, size) => count * Number(size), 1) !== data.length) refuse(field, expected);
}

/** The tensors among the options, checked, and the options without them. */
function splitTensors(options: object): { readonly tensors: GivenTensors; readonly rest: object } {
  const entries = Object.entries(options);
  const isTensor = (name: string): name is keyof typeof tensorAxes => Object.hasOwn(tensorAxes, name);
  const tensors = entries.filter(([name, value]) => isTensor(name) && value !== undefined);
  for (const [name, value] of tensors) checkTensor(name, value, tensorAxes[name as keyof typeof tensorAxes]);
  return {
    tensors: Object.fromEntries(tensors) as GivenTensors,
    rest: Object.fromEntries(entries.filter(([name]) => !isTensor(name))),
  };
}

/** Inpainting takes the smaller picture of an enlarging model too. */
function withoutSmall(task: TaskOptions['task'], { small, ...others }: GivenTensors): GivenTensors {
  return task === 'inpaint' || small === undefined ? others : { ...others, small };
}

function checkEncoded(given: unknown): void {
  const isInputs = (value: unknown): boolean =>
    isObject(value) &&
    Object.values(value).every((one) => isObject(one) && Array.isArray(one['shape']) && isObject(one['data']));
  if (
    !isObject(given) ||
    !isInputs(given['prompt']) ||
    !(given['negative'] === undefined || isInputs(given['negative']))
  )
    refuse('encoded', 'an object of prompt and negative, each of tensors by the names of inputs');
}

function checkControlImages({ control, imagePrompts }: ControlInputs): void {
  for (const [i, { picture, mask, region }] of control.entries())
    for (const [name, value] of Object.entries({ picture, mask, region }))
      if (value !== undefined) checkImage(`control[${i}].${name}`, value);
  for (const [i, { pictures = [], region }] of imagePrompts.entries())
    for (const value of [...pictures, ...(region ? [region] : [])]) checkImage(`imagePrompts[${i}].pictures`, value);
}

/**
 * Checks and completes options. `recommended` are the model's own defaults: they replace the request's, and the caller's replace them.
 * @throws `invalid-argument`, naming the option
 */
export function splitOptions(options: TaskOptions, recommended: object = {}): SplitOptions {
  const {
    startNoise,
    noiseSource,
    retouch,
    encoded,
    signal,
    sampler,
    refiner,
    classifier,
    enlarge,
    control,
    imagePrompts,
    ...given
  } = options;
  const { tensors, rest } = splitTensors(given);
  const { image, mask, ...plain } = { image: undefined, mask: undefined, ...rest };
  if (sampler !== undefined && typeof sampler !== 'string' && !isSampler(sampler))
    refuse('sampler', 'the name of a sampler, or an object with name and run');
  if (refiner !== undefined && typeof refiner.predict !== 'function')
    refuse('refiner', 'a loaded model; load the file or the name first');
  if (classifier !== undefined && typeof classifier.gradient !== 'function')
    refuse('classifier', 'a loaded classifier; load the file first');
  if (enlarge?.some((stage) => typeof stage?.model?.predict !== 'function'))
    refuse('enlarge', 'a list of stages with loaded models; load the files or the names first');
  if (startNoise !== undefined) checkTensor('startNoise', startNoise, 4);
  if (noiseSource !== undefined && typeof noiseSource.normal !== 'function')
    refuse('noiseSource', 'an object with convention and normal');
  if (retouch !== undefined && typeof retouch !== 'function') refuse('retouch', 'a function of a picture');
  if (encoded !== undefined) checkEncoded(encoded);
  if (signal !== undefined && !(signal instanceof AbortSignal)) refuse('signal', 'an AbortSignal');
  const controls = splitControls({ control, imagePrompts });
  const request = checkRequest({
    ...presetDefaults(recommended, { sampler, ...plain }),
    ...definedFields(plain),
    ...controls.fields,
    ...(sampler === undefined ? {} : { sampler: typeof sampler === 'string' ? sampler : sampler.name }),
    ...(refiner === undefined ? {} : { refiner: recordedModel(refiner.label) }),
    ...(classifier === undefined ? {} : { classifier: recordedModel(classifier.label) }),
    ...(enlarge === undefined
      ? {}
      : { enlarge: enlarge.map((stage) => ({ ...definedFields(stage), model: recordedModel(stage.model.label) })) }),
    // A picture that the task does not take is an unknown option.
    ...(options.task === 'txt2img' ? definedFields({ image }) : {}),
    ...(options.task === 'inpaint' ? {} : definedFields({ mask })),
    ...(options.task === 'img2img' ? {} : withoutSmall(options.task, tensors)),
  });
  const { latent, pixels, imageEmbedding } = tensors;
  const instead = [latent, pixels, imageEmbedding].filter((one) => one !== undefined);
  if (instead.length + (image === undefined ? 0 : 1) > 1)
    refuse('image', 'the only one of image, pixels, latent and imageEmbedding');
  checkControlImages(controls.inputs);
  if (request.task !== 'txt2img' && instead.length === 0) checkImage('image', image);
  if (request.task === 'inpaint') checkImage('mask', mask);
  return {
    request,
    inputs: {
      startNoise,
      noiseSource,
      retouch,
      encoded,
      signal,
      image,
      mask,
      tensors,
      refiner,
      classifier,
      enlargers: enlarge?.map(({ model }) => model),
      samplerObject: isSampler(sampler) ? sampler : undefined,
      controls: controls.inputs,
    },
  };
}
