/** Hypernetworks on a model's UNet: their parameters beside its own, and the extensions that use them. */

import { type HypernetworkFile, hypernetworkWeights, readHypernetwork } from '../adapters/hypernetwork.ts';
import type { Checkpoint } from '../checkpoints/checkpoint.ts';
import { familyOfContext, otherFamily } from '../checkpoints/model-families.ts';
import type { Extension } from '../extensions/extension.ts';
import { hypernetwork } from '../extensions/hypernetwork.ts';
import { joined } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

interface HypernetworkUse {
  readonly source: WeightSource;
  readonly scale?: number;
}

/** In their order: each changes the context that the one before it left. Throws `file-unsupported` for a file that is none. */
export function withHypernetworks(
  checkpoint: Checkpoint,
  uses: readonly HypernetworkUse[],
): { readonly checkpoint: Checkpoint; readonly extensions: readonly Extension[] } {
  if (uses.length === 0) return { checkpoint, extensions: [] };
  const opened = uses.map(({ source, scale = 1 }, i) => {
    const prefix = `hypernetwork${i}`;
    const file = readHypernetwork(source);
    refuseHypernetwork(file, checkpoint.label, checkpoint.config.unet_config);
    return { weights: hypernetworkWeights(file, prefix), extension: hypernetwork(file, scale, prefix) };
  });
  const { unet } = checkpoint.parts;
  const weights = joined([unet, ...opened.map((one) => one.weights)], unet.label);
  const close = async (): Promise<void> => {
    await checkpoint.close();
    for (const { source } of uses) await source.close();
  };
  return {
    checkpoint: { ...checkpoint, parts: { ...checkpoint.parts, unet: weights }, close },
    extensions: opened.map(({ extension }) => extension),
  };
}

/**
 * Throws `weights-mismatch` for a hypernetwork of another family: one of its widths is of no attention of the model. Widths are those of the
 * context and, for self-attention, those of the UNet's levels.
 */
export function refuseHypernetwork(
  { label: file, modules }: HypernetworkFile,
  label: string,
  unet: Checkpoint['config']['unet_config'],
): void {
  if (unet.kind !== 'unet') return;
  const own = [unet.context_dim, ...unet.channel_mult.map((mult) => mult * unet.model_channels)];
  const foreign = [...modules.keys()].filter((width) => !own.includes(width));
  if (foreign.length === 0) return;
  const family = foreign.map(familyOfContext).find((found) => found !== undefined);
  const model = { label, family: familyOfContext(unet.context_dim) };
  throw otherFamily({ file, what: `a hypernetwork (width ${foreign.join(', ')})`, family, model });
}
