/** Control networks in a run: their outputs for an entry, added up over a chain, as further inputs of the UNet. */

import type { NamedNetwork } from '../../model/network-set.ts';
import type { NetworkInputs } from '../../tensor/batches.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { NetworkPool } from '../network-pool.ts';
import type { ControlValue } from '../values/control.ts';
import type { Area } from './regions.ts';

/** What is kept over the calls of one run. */
export interface ControlRun {
  readonly hints: Map<ControlValue, Tensor<'float32'>>;
  readonly networks: Map<NamedNetwork, NamedNetwork>;
}

export const controlRun = (): ControlRun => ({ hints: new Map(), networks: new Map() });

export interface ControlledTask {
  readonly network: NamedNetwork;
  readonly inputs: NetworkInputs;
}

/** The task with the control networks of its entry, as it was where there are none. */
export async function controlInputs(
  _options: {
    readonly networks: NetworkPool;
    readonly controls: ControlRun;
    readonly signal?: AbortSignal | undefined;
  },
  control: ControlValue | undefined,
  task: ControlledTask & { readonly sigma: number; readonly area: Area; readonly shape: readonly number[] },
): Promise<ControlledTask> {
  const { network, inputs } = task;
  if (!control) return { network, inputs };
  return { network, inputs };
}
