/** The boxes of a run, and its network in patches where the request has them: a model of boxes also receives the place of each patch in the picture. */

import type { Layout } from '../conditioning/conditioner.ts';
import type { Network } from '../diffusion/guidance.ts';
import { patchedNetwork, type PatchedNetworkOptions } from '../diffusion/patched-network.ts';
import type { BatchSettings } from '../generation/batches.ts';
import type { Model } from '../model/model.ts';
import type { RunPlan } from './plan-run.ts';

export function layoutOf({ request: { boxes, boxClasses } }: RunPlan): Layout | undefined {
  return boxes && { objects: boxes, ...(boxClasses === undefined ? {} : { objectClasses: boxClasses }) };
}

/** `network` is that of one of the run's models. */
export function patchedBy(plan: RunPlan, model: Model, { batch }: BatchSettings, network: Network): Network {
  const { request, inputs } = plan;
  if (!request.patches) return network;
  const layout = layoutOf(plan);
  const conditionAt: PatchedNetworkOptions['conditionAt'] =
    model.conditioner.takes === 'layouts' && layout
      ? (window) => model.encode({ layouts: new Array<Layout>(batch).fill({ ...layout, window }) }, inputs)
      : undefined;
  return patchedNetwork(network, { patches: request.patches, conditionAt });
}
