/** What a source of weights holds, in words for a refusal: a LoRA that was given as a ControlNet, a whole model given as an upscaler. */

import { StableDiffusionError } from '../errors.ts';
import { partPrefixes } from '../weights/part-prefixes.ts';
import type { WeightSource } from '../weights/weight-source.ts';
import { detectNetwork } from './detect.ts';
import { type Family, familyOf, familyOfNetwork, familyOfUnrecognised } from './family.ts';
import { hasPrefix } from './infer/shapes.ts';

/** What a file is that holds no whole model: a network alone, or another known kind. */
export function familyOfPart(source: WeightSource): Family | undefined {
  try {
    return familyOfNetwork(source, detectNetwork(source).config.kind);
  } catch (error) {
    if (!(error instanceof StableDiffusionError)) throw error;
    return familyOfUnrecognised(source.entries);
  }
}

/** With its article: `a LoRA`; undefined for what is not known. */
function whatSourceIs(source: WeightSource): string | undefined {
  const { entries } = source;
  const family = familyOf(entries);
  if (family) return family.name;
  if (Object.values(partPrefixes).filter((prefix) => hasPrefix(entries, prefix)).length > 1) return 'a whole model';
  return familyOfPart(source)?.name;
}

/** The error for a file that is not what it was given as: `wanted` follows "not". `model-unknown`. */
export function notWanted(source: WeightSource, wanted: string): StableDiffusionError {
  const what = whatSourceIs(source);
  const [found, rest] = what
    ? [`is ${what}, not ${wanted}.`, '']
    : [`is not ${wanted}.`, ` Its first tensors are ${[...source.entries.keys()].slice(0, 4).join(', ')}.`];
  return new StableDiffusionError('model-unknown', `${source.label} ${found}${rest}`, {
    details: { file: source.label },
  });
}
