/** How many model calls A1111 expects of a sampler (`SamplerData.total_steps`, modules/sd_samplers_common.py, v1.10.1): what its prompt schedules count in. */

import type { Sampler } from './sampler.ts';

export function totalCalls({ callsPerStep = 1 }: Pick<Sampler, 'callsPerStep'>, steps: number): number {
  return callsPerStep * steps;
}
