/**
 * The reference modes of sd-webui-controlnet (`scripts/hook.py`, "AttentionInjection"): the network looks at another picture while it denoises,
 * without a network of its own. The style fidelity says how far the negative prompt's half is left alone.
 */

import type { ControlMode } from './layer-weights.ts';

/** `reference_only`: self-attentions also attend to the picture. `reference_adain`: blocks take mean and variance of its features. */
export const referenceModes = ['reference_only', 'reference_adain', 'reference_adain+attn'] as const;
export type ReferenceMode = (typeof referenceModes)[number];

export function isReferenceMode(preprocessor: unknown): preprocessor is ReferenceMode {
  return (referenceModes as readonly unknown[]).includes(preprocessor);
}

/** The name that stands in the place of a control model's. */
export const noControlModel = 'None';

/** What a mode shares: the tokens of self-attentions, the statistics of blocks, or both. */
export function sharedBy(mode: ReferenceMode): { readonly attention: boolean; readonly statistics: boolean } {
  return { attention: mode !== 'reference_adain', statistics: mode !== 'reference_only' };
}

/** The given fidelity, cut to 0 … 1, or the one that the control mode prescribes. SDXL gets its cube, as there. */
export function styleFidelity(mode: ControlMode, given: number, isXl: boolean): number {
  if (mode === 'control' || mode === 'guess') return 1;
  if (mode === 'prompt') return 0;
  const fidelity = Math.min(1, Math.max(0, given));
  return isXl ? fidelity ** 3 : fidelity;
}
