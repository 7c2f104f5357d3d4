/** Flags for models with two text encoders and size conditions (SDXL), and for the refiner that ends a run. */

import { bounds } from '../generation/bounds.ts';
import { emptyNegatives } from '../generation/second-model.ts';
import { needing } from './needed-options.ts';
import { choice, flag, number, type Option, text, UsageError } from './options.ts';
import { at, sizeFlag, within } from './request-flag.ts';

function cropFlag(
  flags: readonly string[],
  description: string,
): Option<{ readonly top: number; readonly left: number } | undefined> {
  return {
    flags,
    value: 'TOP,LEFT',
    description,
    parse: (given) => {
      const [, top, left] = /^(\d{1,5}),(\d{1,5})$/.exec(given) ?? [];
      if (top === undefined || left === undefined)
        throw new UsageError(`must be two whole numbers such as 8,16, got ${JSON.stringify(given)}.`);
      return { top: Number(top), left: Number(left) };
    },
  };
}

export const conditionFlags = {
  secondPrompt: at(
    'secondPrompt',
    text(
      ['--prompt-2'],
      'TEXT',
      'SDXL: prompt of the second text encoder; DeepFloyd IF: the style (default: the same)',
    ),
  ),
  secondNegative: at(
    'secondNegativePrompt',
    text(
      ['--negative-2'],
      'TEXT',
      'SDXL: negative prompt of the second text encoder; DeepFloyd IF: of the style (default: the same)',
    ),
  ),
  emptyNegative: at(
    'emptyNegative',
    choice(
      ['--empty-negative'],
      emptyNegatives,
      'SDXL: encoding of an empty negative prompt (default: encoded with --noise comfy, else zeros)',
    ),
  ),
  originalSize: at(
    'sizeConditions.original',
    sizeFlag(['--original-size'], "SDXL: original size before cropping, as a condition (default: the picture's)"),
  ),
  targetSize: at(
    'sizeConditions.target',
    sizeFlag(['--target-size'], "SDXL: target size, as a condition (default: the picture's)"),
  ),
  crop: at(
    'sizeConditions.crop',
    cropFlag(['--crop'], 'SDXL: top left corner of the crop, as a condition (default: 0,0)'),
  ),
  aestheticScore: at(
    'sizeConditions.aestheticScore',
    number(['--aesthetic-score'], 'SDXL refiner: aesthetic score, 0 to 10 (default: 6)', within(bounds.aestheticScore)),
  ),
  negativeOriginalSize: at(
    'sizeConditions.negative.original',
    sizeFlag(['--negative-original-size'], 'SDXL: the same for the negative prompt'),
  ),
  negativeTargetSize: at(
    'sizeConditions.negative.target',
    sizeFlag(['--negative-target-size'], 'SDXL: the same for the negative prompt'),
  ),
  negativeCrop: at(
    'sizeConditions.negative.crop',
    cropFlag(['--negative-crop'], 'SDXL: the same for the negative prompt'),
  ),
  negativeAestheticScore: at(
    'sizeConditions.negative.aestheticScore',
    number(
      ['--negative-aesthetic-score'],
      'SDXL refiner: the same for the negative prompt (default: 2.5)',
      within(bounds.aestheticScore),
    ),
  ),
  classifierScale: at(
    'classifierScale',
    needing(
      number(['--classifier-scale'], 'how strongly --classifier guides (default: 1)', within(bounds.classifierScale)),
      '--classifier',
    ),
  ),
  refinerSwitchAt: at(
    'refinerSwitchAt',
    needing(
      number(
        ['--switch-at'],
        'share of the noise after which --refiner takes over (default: 0.8)',
        within(bounds.share),
      ),
      '--refiner',
    ),
  ),
  refinerSwitchBySteps: at(
    'refinerSwitchBySteps',
    needing(flag(['--switch-by-steps'], 'count --switch-at as a share of the steps, not of the noise'), '--refiner'),
  ),
};
