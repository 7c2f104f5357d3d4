/** Diffusion: noise schedules, guidance, samplers and sigma schedules, over functions that need not be networks. */

export * from './beta-schedule.ts';
export * from './denoiser.ts';
export * from './guidance.ts';
export * from './inpainting.ts';
export * from './noise-schedule.ts';
export * from './parameterization.ts';
export * from './sampler.ts';
export * from './sampler-names.ts';
export { sampleDdim } from './samplers/ddim.ts';
export { sampleEuler } from './samplers/euler.ts';
export { findSampler, samplers } from './samplers/index.ts';
export * from './sigma-schedules/index.ts';
export * from './timesteps.ts';
