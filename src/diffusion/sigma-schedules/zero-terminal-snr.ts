/**
 * A model's levels rescaled so that the last one is almost pure noise ("zero terminal SNR"), which models trained so need.
 *
 * Lin et al. 2024, "Common Diffusion Noise Schedules and Sample Steps are Flawed", algorithm 1. The last level is held finite
 * (alphas_cumprod 4.9e-8, sigma about 4519), as in ComfyUI's `rescale_zero_terminal_snr_sigmas`, since sigma space has no infinity.
 */

import { type NoiseSchedule, noiseSchedule } from '../noise-schedule.ts';

export function zeroTerminalSnr(model: NoiseSchedule): NoiseSchedule {
  const roots = Float64Array.from(model.alphasCumprod, Math.sqrt);
  const first = roots[0] as number;
  const last = roots.at(-1) as number;
  const alphas = Float32Array.from(roots, (root) => (((root - last) * first) / (first - last)) ** 2);
  alphas[alphas.length - 1] = 4.8973451890853435e-8;
  return noiseSchedule(alphas);
}
