/** How many model calls A1111 expects of a sampler (`SamplerData.total_steps`, modules/sd_samplers_common.py, v1.10.1): what its prompt schedules count in. */

import type { Sampler } from './sampler.ts';

/** Those that are `second_order` there. (Not all samplers that call the model twice in a step are.) */
const secondOrder: ReadonlySet<string> = new Set([
  'heun',
  'dpm2',
  'dpm2-ancestral',
  'dpmpp-2s-ancestral',
  'dpmpp-sde',
  'restart',
]);

export function totalCalls({ name }: Pick<Sampler, 'name'>, steps: number): number {
  return secondOrder.has(name) ? 2 * steps : steps;
}
