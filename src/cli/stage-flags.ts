/** Flags for DeepFloyd IF: how its prompts are read, which timesteps are visited, and the stages of a cascade. */

import { namedTimesteps, type TimestepsName, timestepsNames } from '../diffusion/diffusers/named-timesteps.ts';
import type { StageSettings } from '../generation/stage-fields.ts';
import { flag, list, type Option, type OptionValues, UsageError } from './options.ts';
import { at } from './request-flag.ts';

function readTimesteps(given: string): readonly number[] {
  const name = timestepsNames.find((one) => one === given);
  if (name) return namedTimesteps(name satisfies TimestepsName);
  const parts = given.split(',').map((part) => part.trim());
  if (!parts.every((part) => /^\d{1,6}$/.test(part)))
    throw new UsageError(
      `must be descending timesteps such as 960,760,90,3, or one of ${timestepsNames.join(', ')}; got ${JSON.stringify(given)}.`,
    );
  return parts.map(Number);
}

const timesteps: Option<readonly number[] | undefined> = {
  flags: ['--timesteps'],
  value: 'LIST',
  description: `timesteps to visit with DDIMScheduler or DDPMScheduler, instead of --steps: 960,760,90,3 or ${timestepsNames.join(', ')}`,
  parse: readTimesteps,
};

export const stageFlags = {
  cleanCaption: at(
    'cleanCaption',
    flag(
      ['--no-clean-caption'],
      'DeepFloyd IF: do not clean the prompt as its captions were, only put it in lower case',
    ),
    false,
  ),
  timesteps: at('samplerSettings.timesteps', timesteps),
};

/** Numbers for the stages in their order, separated by commas; an empty place keeps the default. */
function perStage(flags: readonly string[], description: string): Option<readonly (number | undefined)[] | undefined> {
  return {
    flags,
    value: 'N[,N…]',
    description,
    parse: (given) =>
      given.split(',').map((part) => {
        const value = part.trim() === '' ? undefined : Number(part);
        if (value !== undefined && !Number.isFinite(value))
          throw new UsageError(`must be numbers separated by commas, got ${JSON.stringify(given)}.`);
        return value;
      }),
  };
}

/** Options of a cascade that are not fields of its request: the models are loaded. */
export const cascadeOptions = {
  enlarge: list(
    ['--enlarge'],
    'MODEL',
    "model that enlarges the picture: DeepFloyd IF's next stage, or an x4 upscaler; repeat it for each stage",
    (given) => given,
  ),
  enlargeSteps: perStage(['--enlarge-steps'], "steps of each --enlarge (default: the model's recommendation, else 50)"),
  enlargeScale: perStage(
    ['--enlarge-scale'],
    "guidance scale of each --enlarge (default: the model's recommendation, else 5)",
  ),
  enlargeNoise: perStage(
    ['--enlarge-noise'],
    'noise on the smaller picture in each --enlarge (default: 250 for DeepFloyd IF, 0 with a mask; 20 for an upscaler)',
  ),
};

type CascadeValues = OptionValues<typeof cascadeOptions>;

/** The settings of each stage. Throws `UsageError` for numbers of stages that are not there. */
export function stageSettings(values: CascadeValues): readonly StageSettings[] {
  const { enlarge = [], enlargeSteps = [], enlargeScale = [], enlargeNoise = [] } = values;
  for (const [name, given] of Object.entries({ steps: enlargeSteps, scale: enlargeScale, noise: enlargeNoise }))
    if (given.length > enlarge.length)
      throw new UsageError(
        `--enlarge-${name} has ${given.length} numbers, and there ${enlarge.length === 1 ? 'is one --enlarge' : `are ${enlarge.length} --enlarge`}.`,
      );
  return enlarge.map((_, i) => ({
    ...(enlargeSteps[i] === undefined ? {} : { steps: enlargeSteps[i] }),
    ...(enlargeScale[i] === undefined ? {} : { guidanceScale: enlargeScale[i] }),
    ...(enlargeNoise[i] === undefined ? {} : { noiseLevel: enlargeNoise[i] }),
  }));
}
