/** A network under controls: their inputs are made and added up at every call, and its prediction goes through those that change it. */

import type { NetworkInputs } from '../../tensor/batches.ts';
import { expectDType, type Shape, type Tensor } from '../../tensor/tensor.ts';
import type { Latent } from '../denoiser.ts';
import type { DenoiserInputs, Network } from '../guidance.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';
import type { Parameterization } from '../parameterization.ts';
import { addedInputs } from './added-inputs.ts';
import { type ControlCall, type ControlUnit, halfInput, type LookingCall } from './control-unit.ts';
import { type ControlProgress, type ControlWindow, type ControlWindowRule, isInWindow } from './control-window.ts';

export interface ControlledNetworkOptions {
  /** The denoiser with the extensions of the units. */
  readonly network: Network;
  /** Other outputs of it. */
  readonly observe: (
    inputs: DenoiserInputs,
    outputs: readonly string[],
    signal?: AbortSignal,
  ) => Promise<NetworkInputs>;
  readonly units: readonly ControlUnit[];
  /** Inputs of the extensions that leave the denoiser as it is, for a batch: of units that do not act. */
  readonly neutral: (inputs: DenoiserInputs) => NetworkInputs;
  readonly schedule: NoiseSchedule;
  readonly parameterization: Parameterization;
  readonly rule: ControlWindowRule;
  /** Noise for units that run the network on a picture of their own. */
  readonly noise: (shape: Shape) => Latent;
  /** Read at every call. */
  readonly progress: ControlProgress;
}

function marksOf(half: Tensor | undefined, count: number): readonly boolean[] {
  return half
    ? Array.from(expectDType(half, 'float32').data, (mark) => mark > 0.5)
    : new Array<boolean>(count).fill(true);
}

/** What of further inputs acts on a picture that a unit looks at too: image tokens, objects, the context. Maps and features are of the result. */
function withoutMaps(added: NetworkInputs): NetworkInputs {
  return Object.fromEntries(Object.entries(added).filter(([name]) => !/^(?:control|adapter)\./.test(name)));
}

/** What units make of running the network on something else. */
async function seenInputs(
  { units, neutral, observe, schedule, noise }: ControlledNetworkOptions,
  call: Omit<ControlCall, 'isActive'>,
  added: NetworkInputs,
  isOpen: (window: ControlWindow) => boolean,
): Promise<NetworkInputs> {
  const { inputs, signal } = call;
  const looking: LookingCall = {
    ...call,
    schedule,
    isOpen,
    noise,
    observe: (given, outputs) =>
      observe({ ...inputs, ...neutral(inputs), ...withoutMaps(added), ...given }, outputs, signal),
  };
  const seen: Record<string, Tensor> = {};
  for (const { look } of units) if (look) Object.assign(seen, await look(looking));
  return seen;
}

/** The calls are those of the network without controls: conditions marked by `halfMark`, all of them conditional without it. */
export function controlledNetwork(options: ControlledNetworkOptions): Network {
  const { network, units, neutral, schedule, parameterization, rule, progress } = options;
  return async (given, signal) => {
    const { [halfInput]: half, ...rest } = given;
    const inputs = rest as DenoiserInputs;
    const timestep = inputs.timesteps.data[0] ?? 0;
    const alphaBar = schedule.alphaBarAt(timestep);
    const sigma = Math.sqrt((1 - alphaBar) / alphaBar);
    const isConditional = marksOf(half, inputs.x.shape[0] ?? 1);
    const isOpen = (window: ControlWindow): boolean => isInWindow(rule, window, progress, sigma, schedule);
    const isActive = ({ window }: ControlUnit): boolean => isOpen(window);
    const call = { inputs, isConditional, signal };
    const added = await addedInputs(units, call, isActive);
    const seen = await seenInputs(options, call, added, isOpen);
    const prediction = await network({ ...inputs, ...neutral(inputs), ...added, ...seen }, signal);
    const predicted = { ...call, schedule, parameterization };
    return units.reduce(
      (value, unit) => unit.after?.(value, { ...predicted, isActive: isActive(unit) }) ?? value,
      prediction,
    );
  };
}
