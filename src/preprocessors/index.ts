/** The preprocessors by name, and how one is run: a picture to the map that a control network or an adapter was trained on. */

import { StableDiffusionError } from '../errors.ts';
import type { Image } from '../image/image.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { whyAbsent } from './absent-preprocessors.ts';
import { greyToRgb } from './line-drawing.ts';
import { networkPreprocessors } from './network-preprocessors.ts';
import { plainPreprocessors } from './plain-preprocessors.ts';
import type { Preprocessor, PreprocessOptions, PreprocessSettings, PreprocessorSetting } from './preprocessor.ts';
import { checkWorkingSize, overWhite } from './working-size.ts';

export { type AnnotatorNetwork, annotators, detectAnnotator, readAnnotator } from '../models/annotators/index.ts';
export { createAnnotator, type OpenAnnotator } from './annotate.ts';
export type { Preprocessor, PreprocessOptions, PreprocessorSetting } from './preprocessor.ts';

export const preprocessors: readonly Preprocessor[] = [...plainPreprocessors, ...networkPreprocessors];

/** By its name or its title. */
export function findPreprocessor(name: string): Preprocessor | undefined {
  return preprocessors.find((one) => one.name === name || one.title === name);
}

/** Throws `invalid-argument` for a name that none has. */
export function preprocessorNamed(name: string): Preprocessor {
  const found = findPreprocessor(name);
  if (found) return found;
  const absent = whyAbsent(name);
  throw new StableDiffusionError(
    'invalid-argument',
    absent ??
      `There is no preprocessor ${name.slice(0, 100)}; there are ${preprocessors.map((one) => one.name).join(', ')}.`,
  );
}

/** Pixels of the shorter side that a caller may ask for. */
const resolutions = { min: 64, max: 4096 };

/** A number within the bounds of its setting, as the extension clamps it. */
function within({ min, max, default: standard }: PreprocessorSetting, given: number | undefined): number {
  return given === undefined || !Number.isFinite(given) ? standard : Math.min(max, Math.max(min, given));
}

/**
 * The map of a picture, RGB. Numbers beyond a setting's bounds count as the bound.
 * @throws `too-large` for a picture that is much longer than it is wide, `invalid-argument` for a resolution beyond 64 to 4096, and where the preprocessor needs a network that was not given
 */
export async function preprocess(
  preprocessor: Preprocessor,
  image: Image,
  options: PreprocessOptions = {},
  annotator?: Annotator,
): Promise<Image<3>> {
  const { resolution = 512, seed = 0, signal } = options;
  if (!Number.isSafeInteger(resolution) || resolution < resolutions.min || resolution > resolutions.max)
    throw new StableDiffusionError(
      'invalid-argument',
      `The resolution of a preprocessor is a whole number from ${resolutions.min} to ${resolutions.max}, got ${resolution}.`,
    );
  if (preprocessor.usesResolution) checkWorkingSize(image, resolution);
  const settings: PreprocessSettings = {
    resolution,
    a: preprocessor.a ? within(preprocessor.a, options.a) : 0,
    b: preprocessor.b ? within(preprocessor.b, options.b) : 0,
    seed: seed >>> 0,
    signal,
  };
  const map =
    preprocessor.network === undefined
      ? preprocessor.run(image, settings)
      : await preprocessor.run(image, settings, neededAnnotator(preprocessor.name, preprocessor.network, annotator));
  return map.channels === 3 ? (map as Image<3>) : map.channels === 1 ? greyToRgb(map as Image<1>) : overWhite(map);
}

function neededAnnotator(name: string, network: string, annotator: Annotator | undefined): Annotator {
  if (annotator?.kind === network) return annotator;
  const found = annotator ? `the file holds ${annotator.kind}` : 'no file was given';
  throw new StableDiffusionError(
    'invalid-argument',
    `The preprocessor ${name} needs the weights of ${network}; ${found}. Give its published file.`,
  );
}
