/** The command line's flags for the fields of a request: a table of flag, path in the request, and help. A new field is one row. */

import { samplers } from '../diffusion/samplers/index.ts';
import { sigmaSchedules } from '../diffusion/sigma-schedules/index.ts';
import { bounds } from '../generation/bounds.ts';
import { presetNames } from '../generation/presets.ts';
import { samplerSettingsFields } from '../generation/request.ts';
import { promptSyntaxes } from '../generation/prompt-fields.ts';
import { strengthRules } from '../generation/strength-steps.ts';
import { byteConventions } from '../image/image-tensor.ts';
import { maskRules } from '../image/inpaint-batch.ts';
import { emphases } from '../prompt/emphasis.ts';
import { noiseConventions } from '../random/noise-source.ts';
import { additionFlags } from './addition-flags.ts';
import { conditionFlags } from './condition-flags.ts';
import { layoutFlags } from './layout-flags.ts';
import { stageFlags } from './stage-flags.ts';
import {
  choice,
  flag,
  integer,
  integers,
  list,
  number,
  type Option,
  type OptionTable,
  text,
  UsageError,
} from './options.ts';
import { needing } from './needed-options.ts';
import { at, type RequestFlag, sizeFlag, within } from './request-flag.ts';

/** A seed as digits, because a number does not hold the largest ones. */
function readSeed(given: string): string {
  if (!/^[+-]?\d{1,20}$/.test(given))
    throw new UsageError(`must be a whole number from -2^63 to 2^64 - 1, got ${JSON.stringify(given)}.`);
  return given.replace(/^\+/, '');
}

function seed(
  flags: readonly string[],
  help: string,
  read: (given: string) => string = readSeed,
): Option<string | undefined> {
  return { flags, value: 'N', description: help, parse: read };
}

const seedOrRandom = (given: string): string =>
  given === 'random' ? String(crypto.getRandomValues(new Uint32Array(1))[0]) : readSeed(given);

/** `NAME=VALUE` pairs of a sampler's settings; the schema checks them. */
function readSetting(given: string): readonly [name: string, value: unknown] {
  const equals = given.indexOf('=');
  const [name, value] = [given.slice(0, equals), given.slice(equals + 1)];
  if (equals < 1 || !Object.hasOwn(samplerSettingsFields, name))
    throw new UsageError(
      `must be NAME=VALUE with one of the names ${Object.keys(samplerSettingsFields).join(', ')}; got ${JSON.stringify(given)}.`,
    );
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

export const requestFlags = {
  ...conditionFlags,
  ...layoutFlags,
  ...additionFlags,
  negative: at('negativePrompt', text(['--negative', '--negative-prompt'], 'TEXT', 'negative prompt')),
  promptSyntax: at(
    'promptSyntax',
    choice(
      ['--prompt-syntax'],
      promptSyntaxes,
      'prompt syntax; a1111 reads (word:1.3), [from:to:0.5], [a|b], AND, BREAK and prompts of any length (default: plain)',
    ),
  ),
  emphasis: at(
    'promptSettings.emphasis',
    needing(
      choice(['--emphasis'], emphases, 'a1111 syntax: effect of the weights (default: Original)'),
      '--prompt-syntax a1111',
    ),
  ),
  commaBacktrack: at(
    'promptSettings.commaBacktrack',
    needing(
      integer(
        ['--comma-backtrack'],
        'a1111 syntax: tokens to go back to a comma when a chunk is full (default: 20)',
        within(bounds.commaBacktrack),
      ),
      '--prompt-syntax a1111',
    ),
  ),
  firstPassSteps: at(
    'promptSettings.firstPassSteps',
    needing(
      integer(
        ['--first-pass-steps'],
        'a1111 syntax: steps of an earlier pass, where prompt schedules continue',
        within(bounds.steps),
      ),
      '--prompt-syntax a1111',
    ),
  ),
  oldScheduling: at(
    'promptSettings.oldScheduling',
    needing(
      flag(['--old-prompt-schedules'], 'a1111 syntax: prompt schedules as before version 1.6'),
      '--prompt-syntax a1111',
    ),
  ),
  classes: at(
    'classLabels',
    integers(['--class'], 'class numbers, for class-conditional models', within(bounds.classLabel)),
  ),
  clipSkip: at(
    'clipSkip',
    integer(
      ['--clip-skip'],
      'layer of the text encoder to use, counted from the last (default: 1, the last)',
      within(bounds.clipSkip),
    ),
  ),
  preset: at(
    'preset',
    choice(
      ['--preset'],
      presetNames,
      'sampler, spacing, steps and guidance together, for models made for few steps; other options replace them',
    ),
  ),
  steps: at(
    'steps',
    integer(
      ['--steps', '--ddim_steps'],
      "sampling steps (default: the model's recommendation, else 50)",
      within(bounds.steps),
    ),
  ),
  sampler: at(
    'sampler',
    text(
      ['--sampler'],
      'NAME',
      'ddim, plms, euler-ancestral, "DPM++ 2M Karras", … (default: the model\'s recommendation, else ddim)',
      samplers.map(({ name }) => name),
    ),
  ),
  schedule: at(
    'schedule',
    text(
      ['--schedule', '--scheduler'],
      'NAME',
      "spacing of the steps: karras, exponential, sgm_uniform, … (default: the sampler's own)",
      Object.keys(sigmaSchedules),
    ),
  ),
  sigmaMin: at(
    'scheduleSettings.sigmaMin',
    number(['--sigma-min'], 'lowest noise level of the spacing', within(bounds.sigma)),
  ),
  sigmaMax: at(
    'scheduleSettings.sigmaMax',
    number(['--sigma-max'], 'highest noise level of the spacing', within(bounds.sigma)),
  ),
  rho: at(
    'scheduleSettings.rho',
    number(['--rho'], 'exponent of the spacing, for karras and polyexponential', within(bounds.rho)),
  ),
  eta: at(
    'eta',
    number(
      ['--eta', '--ddim_eta'],
      "amount of fresh noise in each step (default: the sampler's own, 0 for ddim)",
      within(bounds.eta),
    ),
  ),
  samplerSettings: at(
    'samplerSettings',
    list(
      ['--sampler-setting'],
      'NAME=VALUE',
      "a sampler's own setting, such as sChurn=20; can be repeated",
      readSetting,
    ),
  ),
  quantizeDenoised: at(
    'quantizeDenoised',
    flag(['--quantize-denoised'], 'VQ models: quantize each estimate of the clean latent (ddim, plms, ddpm)'),
  ),
  scale: at(
    'guidanceScale',
    number(
      ['--scale', '--cfg-scale'],
      "guidance scale: how closely to follow the prompt; 1 turns guidance off (default: the model's recommendation, else 7.5, or 5 for img2img)",
      within(bounds.guidance),
    ),
  ),
  guidanceRescale: at(
    'guidanceRescale',
    number(['--guidance-rescale'], 'guidance rescale factor, 0 to 1 (default: 0)', within(bounds.share)),
  ),
  seed: at('seed', seed(['--seed'], 'seed: a whole number, or "random" (default: 42)', seedOrRandom)),
  noise: at(
    'noise',
    choice(['--noise'], noiseConventions, 'program whose random numbers to reproduce (default: compvis)'),
  ),
  subseed: at(
    'noiseSettings.subseed',
    needing(seed(['--subseed'], 'a1111 noise: variation seed'), '--noise a1111-cpu|a1111-gpu|a1111-nv'),
  ),
  subseedStrength: at(
    'noiseSettings.subseedStrength',
    needing(
      number(['--subseed-strength'], 'a1111 noise: share of the variation, 0 to 1', within(bounds.share)),
      '--noise a1111-cpu|a1111-gpu|a1111-nv',
    ),
  ),
  seedResizeFrom: at(
    'noiseSettings.seedResizeFrom',
    needing(
      sizeFlag(['--seed-resize-from'], 'a1111 noise: size in pixels whose composition to keep'),
      '--noise a1111-cpu|a1111-gpu|a1111-nv',
    ),
  ),
  seedDelta: at(
    'noiseSettings.etaNoiseSeedDelta',
    needing(
      integer(
        ['--eta-noise-seed-delta'],
        'a1111 noise: number to add to the seed for the noise of the steps',
        within(bounds.seedDelta),
      ),
      '--noise a1111-cpu|a1111-gpu|a1111-nv',
    ),
  ),
  samples: at(
    'batchSize',
    integer(['--n_samples', '--batch_size'], 'batch size (default: 1)', within(bounds.batchSize)),
  ),
  iterations: at('iterations', integer(['--n_iter'], 'number of batches (default: 1)', within(bounds.iterations))),
  fixedCode: at('fixedCode', flag(['--fixed_code'], 'use the same start noise in every batch')),
  height: at(
    'height',
    integer(
      ['--H', '--height', '-H'],
      "height in pixels (default: the initial image's, else the model's own)",
      within(bounds.side),
    ),
  ),
  width: at(
    'width',
    integer(
      ['--W', '--width', '-W'],
      "width in pixels (default: the initial image's, else the model's own)",
      within(bounds.side),
    ),
  ),
  patchSize: at(
    'patches.size',
    integer(
      ['--patch-size'],
      'run the networks on overlapping patches of N latent elements a side, for large pictures (default with --patch-stride: 128)',
      within(bounds.patch),
    ),
  ),
  patchStride: at(
    'patches.stride',
    integer(['--patch-stride'], 'from one patch to the next (default with --patch-size: 64)', within(bounds.patch)),
  ),
  noSafety: at('safety', flag(['--no-safety'], 'turn the safety checker off'), false),
  noWatermark: at('watermark', flag(['--no-watermark'], 'leave the invisible watermark out'), false),
  decoder: at(
    'decoder',
    choice(
      ['--decoder'],
      ['autoencoder', 'taesd'],
      'what decodes the final latents; taesd is fast and needs --taesd (default: autoencoder)',
    ),
  ),
  bytes: at('bytes', choice(['--bytes'], byteConventions, 'rounding of decoded values to bytes (default: as --noise)')),
  // After `samplerSettings`, of which it sets a part.
  ...stageFlags,
};

export const strengthFlags = {
  strength: at(
    'strength',
    number(
      ['--strength'],
      'share of the noise schedule to run: 0 keeps the image, 1 starts from noise alone (default: 0.75, or 1 for inpaint)',
      within(bounds.share),
    ),
  ),
  strengthRule: at(
    'strengthRule',
    choice(
      ['--strength-rule'],
      strengthRules,
      "how strength is counted in steps; all runs every step (default: a1111 with A1111's noise, else compvis)",
    ),
  ),
  initialNoise: at(
    'initialNoise',
    number(
      ['--initial-noise'],
      "factor on the noise that the run starts from, A1111's noise multiplier; below 1 there is less detail (default: 1)",
      within(bounds.noiseFactor),
    ),
  ),
};

export const maskFlags = {
  maskRule: at(
    'maskRule',
    choice(
      ['--mask-rule'],
      maskRules,
      "how a grey mask counts: cut at 128, as CompVis; or resampled and rounded, or in part, as A1111's mask_round (default: threshold)",
    ),
  ),
};

/** Of models that look at a picture with noise on it. */
export const noiseLevelFlag = {
  noiseLevel: at(
    'noiseLevel',
    integer(
      ['--noise-level'],
      'upscaling, enlarging and variation models: noise on the image that they look at (default: 20, 250 and 0; with a mask 0)',
      within(bounds.noiseLevel),
    ),
  ),
};

export const imageScaleFlag = {
  ...noiseLevelFlag,
  imageScale: at(
    'imageGuidanceScale',
    number(
      ['--image-scale'],
      'InstructPix2Pix models: how closely to follow the image (default: 1.5)',
      within(bounds.guidance),
    ),
  ),
};

const isRequestFlag = (option: Option<unknown>): option is RequestFlag<unknown> => 'path' in option;

function setAt(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const inside = (target[name] ?? {}) as Record<string, unknown>;
  target[name] = inside;
  setAt(inside, rest, value);
}

/** The part of a request given on the command line; other fields are absent. */
export function requestValues(
  options: OptionTable,
  values: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const request: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    if (!isRequestFlag(option)) continue;
    const value = values[name];
    if (value === undefined || value === false) continue;
    const found = option.path === 'samplerSettings' ? Object.fromEntries(value as [string, unknown][]) : value;
    setAt(request, option.path.split('.'), value === true ? (option.sets ?? true) : found);
  }
  return request;
}
