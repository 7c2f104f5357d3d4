/**
 * Controls that change the denoiser's guess of the clean latent, after sd-webui-controlnet's hook: `inpaint_only` keeps the latent of the
 * given picture where nothing is painted; `tile_colorfix` takes the coarse colours from it. The guess becomes a prediction again, and is
 * mixed with the original one by the weight.
 */

import { linearCombination } from '../../tensor/arithmetic.ts';
import { firstChannels } from '../../tensor/first-channels.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import type { Latent } from '../denoiser.ts';
import { objectiveOf } from '../objective.ts';
import { toX0 } from '../parameterization.ts';
import { type ControlUnit, forBatch, type PredictedCall } from './control-unit.ts';
import type { ControlWindow } from './control-window.ts';

type Revise = (x0: Latent, call: PredictedCall) => Latent;

/** A unit whose effect is on the prediction. It does not end with its window, as there. */
function revising(weight: number, window: ControlWindow, revise: Revise): ControlUnit {
  const share = Math.min(1, Math.max(0, weight));
  return {
    window,
    after(prediction, call) {
      const { schedule, parameterization } = call;
      const x = firstChannels(expectDType(call.inputs.x, 'float32', 'x'), prediction.shape[1] ?? 1);
      const alphaBar = schedule.alphaBarAt(Math.round(call.inputs.timesteps.data[0] ?? 0));
      const x0 = revise(toX0(parameterization, prediction, x, alphaBar), call);
      const [ofX, ofOutput] = objectiveOf(parameterization).x0(Math.sqrt(alphaBar), Math.sqrt(1 - alphaBar));
      const again = ofX === 0 ? x0 : linearCombination([-ofX / ofOutput, x], [1 / ofOutput, x0]);
      return share === 1 ? again : linearCombination([share, again], [1 - share, prediction]);
    },
  };
}

/** `max_pool2d(mask, 10, stride 8, padding 1)`: [1, 1, 8 h, 8 w] → h · w values. */
function widened(mask: Tensor<'float32'>, h: number, w: number): Float32Array {
  const [, , rows = 1, columns = 1] = mask.shape;
  const out = new Float32Array(h * w);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      let most = Number.NEGATIVE_INFINITY;
      for (let row = Math.max(0, 8 * y - 1); row < Math.min(rows, 8 * y + 9); row++)
        for (let column = Math.max(0, 8 * x - 1); column < Math.min(columns, 8 * x + 9); column++)
          most = Math.max(most, mask.data[row * columns + column] as number);
      out[y * w + x] = most;
    }
  return out;
}

export interface KeepKnownOptions {
  /** Scaled latent of the given picture, float32 [1, channels, h, w]. */
  readonly latent: Latent;
  /** float32 [1, 1, 8 h, 8 w] in [0, 1]: 1 is painted. */
  readonly mask: Tensor<'float32'>;
  readonly weight: number;
  readonly window: ControlWindow;
}

export function keepKnownUnit({ latent, mask, weight, window }: KeepKnownOptions): ControlUnit {
  return revising(weight, window, (x0) => {
    const [n = 1, , h = 1, w = 1] = x0.shape;
    const plane = widened(mask, h, w);
    const known = forBatch(latent, n, 'the picture').data;
    const data = x0.data.map((value, i) => {
      const share = plane[i % plane.length] as number;
      return value * share + (known[i] as number) * (1 - share);
    });
    return { ...x0, data };
  });
}

/** The mean over a square of 2k + 1 latent pixels, edges repeated. */
function boxBlur(x: Latent, k: number): Latent {
  const [n = 1, c = 1, h = 1, w = 1] = x.shape;
  const data = new Float32Array(x.data.length);
  const clamped = (at: number, length: number): number => Math.min(length - 1, Math.max(0, at));
  for (let plane = 0; plane < n * c; plane++)
    for (let y = 0; y < h; y++)
      for (let column = 0; column < w; column++) {
        let sum = 0;
        for (let dy = -k; dy <= k; dy++)
          for (let dx = -k; dx <= k; dx++)
            sum += x.data[(plane * h + clamped(y + dy, h)) * w + clamped(column + dx, w)] as number;
        data[(plane * h + y) * w + column] = sum / (2 * k + 1) ** 2;
      }
  return { ...x, data };
}

export interface ColourFixOptions {
  readonly latent: Latent;
  /** Latent pixels over which colours are averaged to each side (`threshold_a`). */
  readonly reach: number;
  /** Sharpening: how far the negative prompt's guess is blurred, 0 to 1 (`threshold_b` / 100). Undefined without it. */
  readonly sharpness?: number | undefined;
  readonly weight: number;
  readonly window: ControlWindow;
}

export function colourFixUnit({ latent, reach, sharpness, weight, window }: ColourFixOptions): ControlUnit {
  const coarse = boxBlur(latent, reach);
  return revising(weight, window, (x0, { isConditional }) => {
    const colours = forBatch(coarse, x0.shape[0] ?? 1, 'the picture');
    const fixed = linearCombination([1, x0], [-1, boxBlur(x0, reach)], [1, colours]);
    if (sharpness === undefined) return fixed;
    const soft = linearCombination([sharpness, boxBlur(fixed, reach)], [1 - sharpness, fixed]);
    const size = fixed.data.length / isConditional.length;
    const data = fixed.data.map((value, i) => (isConditional[Math.floor(i / size)] ? value : (soft.data[i] as number)));
    return { ...fixed, data };
  });
}
