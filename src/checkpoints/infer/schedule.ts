/**
 * The noise schedule and the latent scale that a CompVis checkpoint keeps as buffers (`betas`, `scale_factor`), for files without a
 * configuration: `DDPM.register_schedule` and `LatentDiffusion.on_train_batch_start`.
 */

import type { DiffusionParams } from '../../config/latent-diffusion-config.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import type { WeightSource } from '../../weights/weight-source.ts';

export type ScheduleParams = Partial<
  Pick<DiffusionParams, 'timesteps' | 'beta_schedule' | 'linear_start' | 'linear_end' | 'given_betas' | 'scale_factor'>
>;

const maxTimesteps = 1_000_000;

/** The schedule of the buffers; undefined if they are absent or not a schedule. */
export async function readSchedule(source: WeightSource): Promise<ScheduleParams> {
  return { ...(await readBetas(source)), ...(await readScale(source)) };
}

async function readScale(source: WeightSource): Promise<ScheduleParams> {
  const entry = source.entries.get('scale_factor');
  if (!entry || entry.shape.some((size) => size !== 1)) return {};
  const [scale = Number.NaN] = toFloat32(await source.read('scale_factor')).data;
  return Number.isFinite(scale) && scale > 0 ? { scale_factor: scale } : {};
}

async function readBetas(source: WeightSource): Promise<ScheduleParams> {
  const entry = source.entries.get('betas');
  const [timesteps = 0] = entry?.shape ?? [];
  if (entry?.shape.length !== 1 || timesteps < 2 || timesteps > maxTimesteps) return {};
  const betas = toFloat32(await source.read('betas')).data;
  if (!betas.every((beta) => beta > 0 && beta < 1)) return {};
  // A float32 of a short decimal number: seven digits give that number back.
  const start = decimal(betas[0] as number);
  const end = decimal(betas[timesteps - 1] as number);
  const [from, to] = [Math.sqrt(start), Math.sqrt(end)];
  const isLinear = betas.every((beta, index) => {
    const root = from + ((to - from) * index) / (timesteps - 1);
    return Math.abs(root * root - beta) <= 1e-6 * Math.max(end, start);
  });
  if (isLinear) return { timesteps, beta_schedule: 'linear', linear_start: start, linear_end: end };
  return { timesteps, given_betas: Array.from(betas) };
}

function decimal(value: number): number {
  return Number(value.toPrecision(6));
}
