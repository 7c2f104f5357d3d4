/** The sizes of a picture as a vector, SDXL's micro-conditioning (Podell et al. 2023, arXiv 2307.01952, section 2.2). */

import type { SizeField, SizesConfig } from '../config/composed-conditioner.ts';
import { StableDiffusionError } from '../errors.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import type { ConditionerKind, PictureSizes } from './conditioner.ts';

const maxPeriod = 10000;

/** cos and then sin of value · exp(-ln(10000) i / half), in float32 as PyTorch computes it. */
export function sinusoids(value: number, width: number): number[] {
  const half = width >> 1;
  const rate = Math.fround(-Math.log(maxPeriod));
  const angles = Array.from({ length: half }, (_, i) =>
    Math.fround(value * Math.fround(Math.exp(Math.fround(Math.fround(rate * i) / half)))),
  );
  const waves = [...angles.map((angle) => Math.cos(angle)), ...angles.map((angle) => Math.sin(angle))];
  return width % 2 === 0 ? waves : [...waves, 0];
}

/** The refiner's aesthetic score for the prompt. */
const defaultAesthetic = 6;

function numbersOf(
  { original, crop, target, aesthetic = defaultAesthetic }: PictureSizes,
  field: SizeField,
): readonly number[] {
  return { original, crop, target, aesthetic: [aesthetic] }[field];
}

/** The embedded sizes of each picture: float32 [pictures, numbers of the fields x width]. */
export function pictureVector({ fields, width }: SizesConfig, pictures: readonly PictureSizes[]): Tensor<'float32'> {
  const rows = pictures.map((one) =>
    fields.flatMap((field) => numbersOf(one, field)).flatMap((n) => sinusoids(n, width)),
  );
  return float32([rows.length, rows[0]?.length ?? 0], rows.flat());
}

export const sizes: ConditionerKind<SizesConfig> = {
  takes: 'nothing',
  create: (config, _, { label }) => ({
    takes: 'nothing',
    empty: undefined,
    async encode({ sizes: given }) {
      if (!given)
        throw new StableDiffusionError(
          'invalid-argument',
          `${label} takes the sizes of each picture, and none were given.`,
        );
      return { y: pictureVector(config, given) };
    },
    join: () => ({}),
  }),
};
