/** Training: complete runs by configuration, the training loop, and its trainees. */

export * from './adapt/index.ts';
export {
  type AutoencoderBatch,
  AutoencoderTraining,
  createAutoencoderTraining,
} from './autoencoder/trainee.ts';
export type { AutoencoderTrainingOptions } from './autoencoder/steps.ts';
export { autoencoderWeights, type AutoencoderWeights, type AutoencoderWeightsOptions } from './autoencoder/weights.ts';
export { type BatchOptions, type TrainingBatch, trainingBatches } from './data/batches.ts';
export { openData, type OpenDataOptions } from './data/open-data-node.ts';
export { createProblems, type Problem, type Problems } from './data/problems.ts';
export type { SampleSource, TrainingItem } from './data/sample.ts';
export {
  createLatentDiffusionTraining,
  type LatentDiffusionBatch,
  LatentDiffusionTraining,
  type LatentDiffusionTrainingOptions,
} from './latent/trainee.ts';
export {
  latentDiffusionWeights,
  type LatentDiffusionWeights,
  type LatentDiffusionWeightsOptions,
} from './latent/weights.ts';
export { trainingLoop } from './loop-node.ts';
export type { LoopOptions, TrainingEvent } from './loop-options.ts';
export { type Recipe, recipes } from './recipes.ts';
export { type AdmCrop, admCenterCrop, admClasses, admOrder, admRandomCrop } from './data/adm-pictures.ts';
export {
  gaussianLoss,
  type GaussianLossOptions,
  type GaussianLossInputs,
  type GaussianLossTerms,
  type GaussianLossType,
  noisyPictures,
  toldTimesteps,
} from './objective/gaussian.ts';
export { immiscibleAssignment } from './objective/immiscible.ts';
export { accuracyAt, traceNoisyClassifierLoss } from './objective/noisy-classifier.ts';
export { lossResampler, type TimestepResampler, uniformResampler } from './objective/timestep-resampler.ts';
export { adoptWeight, discriminatorLosses, weightedHingeLoss } from './objective/adversarial.ts';
export {
  type DiffusionLoss,
  diffusionLoss,
  type DiffusionLossConfig,
  type DiffusionLossInputs,
  dropConditions,
} from './objective/diffusion.ts';
export { openRun, type Run, type RunOptions } from './run/run-folder-node.ts';
export { train, type TrainOptions } from './train-node.ts';
export type { Trainee, TraineeCheckpoint, TraineeSamples, TraineeUpdate } from './trainee.ts';
