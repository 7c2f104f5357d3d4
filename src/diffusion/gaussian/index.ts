/** Gaussian diffusion as guided-diffusion (ADM) has it: spaced schedules, learned variances, guided steps, bits per dimension. */

export * from './adm-process.ts';
export { type BitsPerDimension, bitsPerDimension, boundTerm } from './bits-per-dimension.ts';
export * from './gaussian-process.ts';
export * from './gaussian-steps.ts';
export { admBetas, type GaussianTables, gaussianTables, spacedTables } from './gaussian-tables.ts';
export { approximateCdf, discretizedLogLikelihood, normalKl } from './likelihood.ts';
export { spacedSections } from './spaced-timesteps.ts';
