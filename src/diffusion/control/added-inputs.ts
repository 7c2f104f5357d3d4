/**
 * What several controls add to one call of the network: their tokens, which the other controls see too (as in A1111's extension and ComfyUI),
 * and their inputs, added up where they have one name.
 */

import { StableDiffusionError } from '../../errors.ts';
import { concatenate } from '../../tensor/arithmetic.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, type Tensor } from '../../tensor/tensor.ts';
import type { DenoiserInputs } from '../guidance.ts';
import { type ControlUnit, type ControlCall, sumInto } from './control-unit.ts';

/**
 * Further inputs of a call, and its context if tokens go behind it. `isActive` tells whether a unit's window is open.
 * @throws `invalid-argument` if a unit has tokens and the call has no context
 */
export async function addedInputs(
  units: readonly ControlUnit[],
  call: Omit<ControlCall, 'isActive'>,
  isActive: (unit: ControlUnit) => boolean,
): Promise<NetworkInputs> {
  const added: Record<string, Tensor> = {};
  let { context }: DenoiserInputs = call.inputs;
  for (const unit of units) {
    const tokens = unit.tokens?.({ ...call, isActive: isActive(unit) });
    if (!tokens) continue;
    if (!context)
      throw new StableDiffusionError('invalid-argument', 'A style adapter needs a model that takes a prompt.');
    context = concatenate([expectDType(context, 'float32', 'context'), tokens], 1);
  }
  const seen = { ...call, inputs: context ? { ...call.inputs, context } : call.inputs };
  for (const unit of units)
    for (const [name, value] of Object.entries((await unit.before?.({ ...seen, isActive: isActive(unit) })) ?? {}))
      added[name] = sumInto(added[name], value);
  return context === call.inputs.context || !context ? added : { ...added, context };
}
