/** The default text-to-image graph of ComfyUI, small, on the model that comes with the program. */

import { defaultGraph, type GraphChanges } from '../parity/comfyui/graphs.ts';

export function pocketGraph(changes: Pick<GraphChanges, 'seed' | 'steps' | 'prefix'> = {}) {
  return defaultGraph({
    seed: 1,
    steps: 2,
    cfg: 4,
    text: 'a red apple',
    negative: '',
    checkpoint: 'pocket.safetensors',
    ...changes,
  });
}
