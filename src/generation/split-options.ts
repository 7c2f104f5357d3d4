/** Splits a library call's options into the request, which is plain data and checked by its schema, and the other inputs, checked here. */

import type { Sampler } from '../diffusion/sampler.ts';
import { StableDiffusionError } from '../errors.ts';
import { checkRequest } from './check-request.ts';
import { recordedModel } from './model-name.ts';
import type { AnyInputs, TaskOptions } from './inputs.ts';
import type { GenerationRequest } from './request.ts';

export interface SplitOptions {
  readonly request: GenerationRequest;
  readonly inputs: AnyInputs;
}

/** Fields without those that are undefined: an undefined option is one that was left out. */
function defined(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
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

function checkNoise(value: unknown): void {
  const expected = 'a float32 tensor of shape [images, channels, height, width] with as many values';
  if (!isObject(value)) refuse('startNoise', expected);
  const { dtype, shape, data } = value;
  if (dtype !== 'float32' || !Array.isArray(shape) || shape.length !== 4 || !(data instanceof Float32Array))
    refuse('startNoise', expected);
  if (shape.reduce<number>((count, size) => count * Number(size), 1) !== data.length) refuse('startNoise', expected);
}

/**
 * Checks and completes options. `recommended` are the model's own defaults: they replace the request's, and the caller's replace them.
 * @throws `invalid-argument`, naming the option
 */
export function splitOptions(options: TaskOptions, recommended: object = {}): SplitOptions {
  const { startNoise, signal, sampler, refiner, ...rest } = options;
  const { image, mask, ...plain } = { image: undefined, mask: undefined, ...rest };
  if (sampler !== undefined && typeof sampler !== 'string' && !isSampler(sampler))
    refuse('sampler', 'the name of a sampler, or an object with name and run');
  if (refiner !== undefined && typeof refiner.predict !== 'function')
    refuse('refiner', 'a loaded model; load the file or the name first');
  if (startNoise !== undefined) checkNoise(startNoise);
  if (signal !== undefined && !(signal instanceof AbortSignal)) refuse('signal', 'an AbortSignal');
  const request = checkRequest({
    ...recommended,
    ...defined(plain),
    ...(sampler === undefined ? {} : { sampler: typeof sampler === 'string' ? sampler : sampler.name }),
    ...(refiner === undefined ? {} : { refiner: recordedModel(refiner.label) }),
    // A picture that the task does not take is an unknown option.
    ...(options.task === 'txt2img' ? defined({ image }) : {}),
    ...(options.task === 'inpaint' ? {} : defined({ mask })),
  });
  if (request.task !== 'txt2img') checkImage('image', image);
  if (request.task === 'inpaint') checkImage('mask', mask);
  return {
    request,
    inputs: { startNoise, signal, image, mask, refiner, samplerObject: isSampler(sampler) ? sampler : undefined },
  };
}
