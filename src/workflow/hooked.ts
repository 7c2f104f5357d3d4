/** Networks and text encoders with the weights that hooks give them. After ComfyUI's hooks.py and `ModelPatcher.patch_hook_weight_to_device`. */

import type { NamedNetwork } from '../model/network-set.ts';
import { clipWithLora, weightsWithLora } from './lora.ts';
import { movedTowards } from './merge.ts';
import { inHalfPrecision } from './half-precision.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import type { ClipValue } from './values/clip.ts';
import type { HooksValue, WeightHook } from './values/hooks.ts';

/** A hook with its strength at a level. */
export interface ActiveHook {
  readonly hook: WeightHook;
  readonly strength: number;
}

const numbers = new WeakMap<object, number>();
let count = 0;
function numberOf(ref: object): number {
  const own = numbers.get(ref) ?? ++count;
  numbers.set(ref, own);
  return own;
}

const forms = new WeakMap<NamedNetwork, Map<string, NamedNetwork>>();

/** A UNet with the weights of hooks: the same value for the same strengths, by which the pool knows it. As it was where none acts. */
export function hookedNetwork<N extends NamedNetwork>(network: N, active: readonly ActiveHook[]): N {
  const acting = active.filter(({ strength }) => strength !== 0);
  if (acting.length === 0) return network;
  const made = forms.get(network) ?? new Map<string, NamedNetwork>();
  forms.set(network, made);
  const key = acting.map(({ hook, strength }) => `${numberOf(hook.ref)}:${strength}`).join();
  const known = made.get(key);
  if (known) return known as N;
  const weights = acting.reduce(
    (own, { hook: { source }, strength }) =>
      source.kind === 'lora'
        ? weightsWithLora(own, network.config, source.lora, strength)
        : movedTowards(own, { from: network.weights, to: source.unet, strength }),
    network.weights,
  );
  const changed = { ...network, weights };
  made.set(key, changed);
  return changed;
}

/** Text encoders with the weights of hooks, without their keyframes. */
export function hookedClip(clip: ClipValue, hooks: HooksValue, fullTextEncoder: boolean): ClipValue {
  let own = clip;
  for (const { source, clipStrength } of hooks) {
    if (clipStrength === 0) continue;
    own =
      source.kind === 'lora'
        ? clipWithLora(own, source.lora, clipStrength, fullTextEncoder)
        : { ...own, encoders: movedEncoders(own, clip, source.encoders, [clipStrength, fullTextEncoder]) };
  }
  return own;
}

/** The encoders of `own`, moved by the difference of others to those before. */
function movedEncoders(
  own: ClipValue,
  before: ClipValue,
  after: readonly WeightSource[],
  [strength, fullTextEncoder]: readonly [number, boolean],
): ClipValue['encoders'] {
  return own.encoders.map((encoder, i) => {
    const [from, to] = [before.encoders[i]?.network.weights, after[i]];
    if (!from || !to) return encoder;
    const weights = movedTowards(encoder.network.weights, { from, to, strength });
    return {
      ...encoder,
      network: { ...encoder.network, weights: fullTextEncoder ? weights : inHalfPrecision(weights) },
    };
  });
}
