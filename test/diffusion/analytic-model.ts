/** The analytic model and the noise bank of fixtures/diffusion, for tests of samplers. */

import { join } from 'node:path';
import { analyticSet } from '../parity/analytic-model.ts';
import { type Recorded, settingsOf } from '../parity/reader.ts';
import { casesOf } from '../parity/recorded-cases.ts';
import { fixtures } from '../parity/test-set.ts';
import { readTensors, type Tensors } from '../tensors.ts';

export { entry } from '../parity/analytic-model.ts';

export const analytic = analyticSet(join(fixtures, 'diffusion'));
export const { model: analyticModel, output: analyticOutput, noiseBank, bankNoise } = analytic;

interface SamplerCase {
  readonly id: string;
  readonly settings: Recorded;
  readonly tolerance: Recorded;
}

/** The recorded sampler cases whose id starts with `prefix`, and their tensors. */
export function samplerCases(
  prefix: string,
  file: string,
): { readonly cases: readonly SamplerCase[]; readonly tensors: Tensors } {
  const cases = casesOf(fixtures, 'diffusion')
    .filter(({ part, name }) => part === 'samplers' && name.startsWith(prefix))
    .map((one) => ({ id: one.name, settings: settingsOf(one), tolerance: one.row['tolerance'] }));
  return { cases, tensors: readTensors(join(fixtures, `diffusion/samplers/${file}.safetensors`)) };
}
