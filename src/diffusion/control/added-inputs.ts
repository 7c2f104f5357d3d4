/** What several controls add to one call of the network: their inputs, added up where they have one name, and their tokens. */

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
    const own = { ...call, isActive: isActive(unit) };
    for (const [name, value] of Object.entries((await unit.before?.(own)) ?? {}))
      added[name] = sumInto(added[name], value);
    const tokens = unit.tokens?.(own);
    if (!tokens) continue;
    if (!context)
      throw new StableDiffusionError('invalid-argument', 'A style adapter needs a model that takes a prompt.');
    context = concatenate([expectDType(context, 'float32', 'context'), tokens], 1);
  }
  return context === call.inputs.context || !context ? added : { ...added, context };
}
