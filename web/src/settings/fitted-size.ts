/** Sizes in pixels that a model can make. */

import type { ModelChoice } from '../engines/picture-engine.ts';
import type { Settings } from './settings.ts';

/** The allowed size nearest to the requested one; 0 is the native size. */
export function fittedSize(
  settings: Settings,
  model: ModelChoice | undefined,
): { readonly width: number; readonly height: number } {
  const { size = 512, unit = 64 } = model ?? {};
  const fit = (wanted: number): number => Math.max(unit, Math.round((wanted || size) / unit) * unit);
  return { width: fit(settings.width), height: fit(settings.height) };
}
