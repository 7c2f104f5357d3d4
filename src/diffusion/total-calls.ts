/** The number of model calls that A1111 expects of a sampler (`SamplerData.total_steps`, modules/sd_samplers_common.py, v1.10.1): the unit of its prompt schedules. */

import type { Sampler } from './sampler.ts';

export function totalCalls({ callsPerStep = 1 }: Pick<Sampler, 'callsPerStep'>, steps: number): number {
  return callsPerStep * steps;
}
