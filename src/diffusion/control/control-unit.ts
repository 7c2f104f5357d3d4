/** A control of the denoiser: a unit that adds inputs to a call of the network, or changes what it predicts. One file each kind. */

import { StableDiffusionError } from '../../errors.ts';
import { addScaled } from '../../tensor/arithmetic.ts';
import { joinBatches, type NetworkInputs, repeatBatch, takeBatch } from '../../tensor/batches.ts';
import { expectDType, float32, type Shape, type Tensor } from '../../tensor/tensor.ts';
import type { Latent } from '../denoiser.ts';
import type { DenoiserInputs } from '../guidance.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';
import type { Parameterization } from '../parameterization.ts';
import type { ControlWindow } from './control-window.ts';

/** One call of the network. */
export interface ControlCall {
  /** Without `half`. */
  readonly inputs: DenoiserInputs;
  /** For each image of the batch: true for the prompt's half, false for the negative prompt's. */
  readonly isConditional: readonly boolean[];
  /** Whether the unit's window is open. */
  readonly isActive: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** One call whose prediction is known. */
export interface PredictedCall extends ControlCall {
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
}

/** One call before which a unit runs the network on something else. */
export interface LookingCall extends Omit<ControlCall, 'isActive'> {
  readonly schedule: NoiseSchedule;
  readonly isOpen: (window: ControlWindow) => boolean;
  /** Noise of the pictures of this batch, which no other part of the run draws from. */
  readonly noise: (shape: Shape) => Latent;
  /** Runs the network on the inputs of the call with some in place of its own, without maps and features. Gives the outputs named. */
  readonly observe: (inputs: NetworkInputs, outputs: readonly string[]) => Promise<NetworkInputs>;
}

export interface ControlUnit {
  readonly window: ControlWindow;
  /** Further inputs of the network, float32 [n, …]. Those of several units under one name are added up. */
  readonly before?: (call: ControlCall) => Promise<NetworkInputs>;
  /** Tokens [n, tokens, width] that go behind the context. */
  readonly tokens?: (call: ControlCall) => Tensor<'float32'> | undefined;
  /** Further inputs of the network, of what it makes of something else. */
  readonly look?: (call: LookingCall) => Promise<NetworkInputs>;
  /** Changes the prediction [n, channels, h, w]. */
  readonly after?: (prediction: Latent, call: PredictedCall) => Latent;
}

/** Name of the input that marks the halves of guidance: float32 [n], 1 for the prompt, 0 for the negative one. */
export const halfInput = 'half';

/** The mark of one half, for `Condition`. */
export function halfMark(isConditional: boolean): NetworkInputs {
  return { [halfInput]: float32([1], [isConditional ? 1 : 0]) };
}

/** The rows of a batch with these numbers. */
export function takeRows<T extends Tensor>(value: T, rows: readonly number[]): T {
  return joinBatches(rows.map((row) => takeBatch(value, row, row + 1)));
}

/** A batch with `values` at the places `rows`, and zeros elsewhere. */
export function placeRows(values: Tensor<'float32'>, rows: readonly number[], count: number): Tensor<'float32'> {
  if (rows.length === count) return values;
  const size = values.data.length / rows.length;
  const data = new Float32Array(size * count);
  for (const [from, to] of rows.entries()) data.set(values.data.subarray(from * size, (from + 1) * size), to * size);
  return float32([count, ...values.shape.slice(1)], data);
}

/** For each row the item of its half: both are batches of 1. */
export function byHalf(
  isConditional: readonly boolean[],
  conditional: Tensor<'float32'>,
  unconditional: Tensor<'float32'>,
): Tensor<'float32'> {
  return joinBatches(isConditional.map((mark) => (mark ? conditional : unconditional)));
}

/** A hint for every image of a batch. Throws `shape-mismatch` if it is for another number of images. */
export function forBatch(hint: Tensor<'float32'>, count: number, what: string): Tensor<'float32'> {
  const items = hint.shape[0] ?? 1;
  if (items === 1 || items === count) return repeatBatch(hint, count, what);
  // Both halves of guidance see the same pictures.
  if (count % items === 0) return joinBatches(Array.from({ length: count / items }, () => hint));
  throw new StableDiffusionError(
    'shape-mismatch',
    `There are ${items} pictures of ${what} for ${count} images; give one, or one for each image.`,
  );
}

/** The sum of two additions of one name. */
export function sumInto(target: Tensor | undefined, value: Tensor): Tensor<'float32'> {
  const added = expectDType(value, 'float32');
  return target ? addScaled(added, 1, expectDType(target, 'float32')) : added;
}
