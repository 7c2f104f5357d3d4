/**
 * Exponential moving averages in a CompVis checkpoint (`ldm.modules.ema.LitEma`): buffers `model_ema.<name>`, where `<name>` is a
 * parameter's name inside `model.` without its dots, along with `model_ema.decay` and `model_ema.num_updates`.
 */

import { StableDiffusionError } from '../errors.ts';
import { aliased, weightView } from '../weights/view.ts';
import type { WeightSource } from '../weights/weight-source.ts';

const emaPrefix = 'model_ema.';
const modelPrefix = 'model.';

/** The name of the average of the parameter `name` (`model.…`). */
export function emaName(name: string): string {
  return emaPrefix + name.slice(modelPrefix.length).replaceAll('.', '');
}

/** Counts the parameters under `model.`, and those with an average. */
export function emaCoverage(source: WeightSource): { readonly averaged: number; readonly parameters: number } {
  let averaged = 0;
  let parameters = 0;
  for (const name of source.entries.keys()) {
    if (!name.startsWith(modelPrefix)) continue;
    parameters++;
    if (source.entries.has(emaName(name))) averaged++;
  }
  return { averaged, parameters };
}

/**
 * The checkpoint with the averages in place of the parameters under `model.`, and without `model_ema.*`. Parameters that were frozen in
 * training have no average and stay. Throws `weights-mismatch` if there are no averages, or if two parameters share a dotless name.
 */
export function withEmaWeights(source: WeightSource): WeightSource {
  if (emaCoverage(source).averaged === 0) {
    throw new StableDiffusionError(
      'weights-mismatch',
      `${source.label} holds no averaged weights (model_ema.*). Load it without asking for them.`,
    );
  }
  const used = new Map<string, string>();
  const tensors = [];
  for (const name of source.entries.keys()) {
    if (name.startsWith(emaPrefix)) continue;
    const average = name.startsWith(modelPrefix) ? emaName(name) : '';
    if (!source.entries.has(average)) {
      tensors.push(aliased(source, name));
      continue;
    }
    const other = used.get(average);
    if (other !== undefined)
      throw new StableDiffusionError(
        'weights-mismatch',
        `${source.label}: ${average} is the average of both ${other} and ${name}.`,
      );
    used.set(average, name);
    tensors.push(aliased(source, average, name));
  }
  return weightView(`${source.label} (averaged)`, tensors, [source]);
}
