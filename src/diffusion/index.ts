/** Diffusion: noise schedules, guidance, samplers and sigma schedules, over functions that need not be networks. */

export * from './beta-schedule.ts';
export * from './classifier-guidance.ts';
export * from './continuous-time.ts';
export * from './denoiser.ts';
export * from './elucidated.ts';
export * from './gaussian/index.ts';
export * from './guidance.ts';
export * from './guidance-directions.ts';
export * from './inpainting.ts';
export * from './noise-schedule.ts';
export * from './objective.ts';
export { predictionAt, predictionOf, type Prediction, target, toEps, toX0 } from './parameterization.ts';
export * from './sampler.ts';
export * from './sampler-names.ts';
export * from './lucid-process.ts';
export * from './lucid-schedules.ts';
export * from './model-schedule.ts';
export { sampleDdim } from './samplers/ddim.ts';
export { type DpmMethod, type DpmRunOptions, runDpmSolver } from './samplers/dpm-solver-run.ts';
export { sampleEuler } from './samplers/euler.ts';
export { findSampler, samplers } from './samplers/index.ts';
export { lcmDenoiser } from './samplers/lcm.ts';
export { type RepaintOptions, type RepaintStep, repaintTimesteps, sampleRepaint } from './samplers/repaint.ts';
export * from './sigma-schedules/index.ts';
export { percentToSigma } from './sigma-schedules/percent-to-sigma.ts';
export { zeroTerminalSnr } from './sigma-schedules/zero-terminal-snr.ts';
export * from './timesteps.ts';
export { type VpOptions, vpTime } from './vp-schedules.ts';
export {
  type ContinuousTime,
  continuousTime,
  type Evaluate,
  evaluateModel,
  type GuidanceGradient,
  guidedEvaluation,
  revisedEvaluation,
  type SolverSpacing,
  type SolverTime,
} from './solver-time.ts';
export { dynamicThreshold, thresholdedAt } from './thresholding.ts';
