/** How strongly each output of a control network acts: sd-webui-controlnet's three control modes, and the guess mode of diffusers. */

export const controlModes = ['balanced', 'prompt', 'control', 'guess'] as const;
/**
 * `balanced`: every output alike, for the prompt and the negative prompt. `prompt`: the shallower an output, the weaker it is. `control`: so
 * too, and for the prompt alone. `guess`: weaker still, and for the prompt alone, for pictures without a prompt.
 */
export type ControlMode = (typeof controlModes)[number];

/** True if the network acts on the half of the prompt alone. */
export function isForPromptOnly(mode: ControlMode): boolean {
  return mode === 'control' || mode === 'guess';
}

/** Factors of the outputs of a ControlNet, shallow to deep, the middle last. */
export function controlNetWeights(mode: ControlMode, weight: number, count: number): number[] {
  const depths = Array.from({ length: count }, (_, i) => count - 1 - i);
  switch (mode) {
    case 'balanced':
      return depths.map(() => weight);
    case 'prompt':
    case 'control':
      return depths.map((depth) => weight * 0.825 ** depth);
    case 'guess':
      return depths.map((depth) => weight * 10 ** (-depth / Math.max(1, count - 1)));
  }
}

const softFeatures = [0.25, 0.62, 0.825, 1] as const;

/** Factors of the features of a T2I-Adapter, level by level. The soft ones are the extension's, for four levels. */
export function adapterWeights(mode: ControlMode, weight: number, count: number): number[] {
  return Array.from({ length: count }, (_, level) =>
    mode === 'balanced' || mode === 'guess' ? weight : weight * (softFeatures[level] ?? 1),
  );
}
