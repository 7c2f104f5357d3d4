/** denoising-diffusion-pytorch and imagen-pytorch: schedules, objectives, sampling, guidance, continuous time, EDM. */

import { lineageCase, type Loose } from '../lineage-case.ts';
import type { Reader } from '../reader.ts';
import { schedules, gaussian, learnedVariance } from '../lucid/gaussian.ts';
import { imagen, continuous } from '../lucid/continuous.ts';
import { elucidated } from '../lucid/elucidated.ts';
import { guidance } from '../lucid/guidance.ts';
import type { Compare } from '../lucid/linear.ts';

const compares: readonly (readonly [RegExp, RegExp, Compare])[] = [
  [/^linear, cosine and sigmoid betas/, /denoising-diffusion-pytorch/, schedules],
  [/^three objectives, sigmoid schedule/, /denoising-diffusion-pytorch/, gaussian],
  [/^learned range: mean, variance, loss/, /denoising-diffusion-pytorch/, learnedVariance],
  [/^continuous time/, /denoising-diffusion-pytorch/, continuous],
  [/^EDM/, /denoising-diffusion-pytorch/, elucidated],
  [/^projection, guidance/, /denoising-diffusion-pytorch/, guidance],
  [/^log-SNR, alpha, sigma/, /imagen-pytorch/, imagen],
];

const matching = (row: Loose): readonly Compare[] =>
  compares.flatMap(([what, reference, compare]) =>
    what.test(String(row.exercises)) && reference.test(String(row.reference)) ? [compare] : [],
  );

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => matching(row).length > 0,
  async *compare(raw) {
    for (const compare of matching(raw.row)) yield* compare(lineageCase(raw));
  },
};
