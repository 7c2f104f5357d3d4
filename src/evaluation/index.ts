/** Measures of pictures, autoencoders and models: FID, KID, precision and recall, inception score, CLIP score, PSNR, SSIM, LPIPS; and of data sets. */

export { type AestheticHead, aestheticHead, normalisedRows } from './aesthetic.ts';
export {
  type AdmPrecisionRecall,
  admPrecisionRecall,
  inceptionScoreBySplits,
  spatialFeatures,
  spatialFrechetDistance,
} from './adm-evaluator.ts';
export { type AdmFeatures, admInceptionTensor, type AdmNetwork, admNetwork } from './adm-features.ts';
export {
  type AdmStatistics,
  hasStatistics,
  readStatistics,
  type RunningStatistics,
  runningStatistics,
  statisticsArrays,
} from './adm-statistics.ts';
export { type PaperNumbers, paperNumbers } from './paper-numbers.ts';
export type { DataSetFilter, JudgeOptions, Reason, Verdict } from './data-set/judge.ts';
export { type Place, start as startOfData } from './data-set/blocks.ts';
export { type JudgedSample, judgedSamples, type JudgedSamplesOptions } from './data-set/judged-samples.ts';
export { type DataSetStatistics, RunningDataSetStatistics } from './data-set/statistics.ts';
export { captionList, drawnCaptions } from './caption-list.ts';
export { type ClipScore, clipScore } from './clip-score.ts';
export { type FeaturesNetwork, featuresNetwork, joinFeatures, type PictureFeatures } from './features.ts';
export { type FeatureStatistics, featureStatistics, frechetDistance } from './frechet-distance.ts';
export {
  type GuidanceCurve,
  guidanceJson,
  guidancePlot,
  type GuidancePlotNotes,
  type GuidancePoint,
  guidanceScales,
} from './guidance-curve.ts';
export { guidanceSweep, type SweepEvent, type SweepOptions } from './guidance-sweep.ts';
export { type InceptionScore, inceptionScore } from './inception-score.ts';
export {
  drawSubsets,
  type KernelDistance,
  kernelDistance,
  kernelDistanceOfSubsets,
  type PolynomialKernel,
  type SubsetPair,
} from './kernel-distance.ts';
export { lpips, perceptualDistance, type PerceptualFeatures } from './perceptual-distance.ts';
export { type PerceptualNetwork, perceptualNetwork } from './perceptual-network.ts';
export { measureSets, type SetMeasures } from './picture-sets.ts';
export { type PrecisionRecall, precisionRecall } from './precision-recall.ts';
export { meanSquaredError, psnr } from './psnr.ts';
export {
  reconstruct,
  type Reconstructed,
  type ReconstructionMeasures,
  reconstructionMeasures,
} from './reconstruction.ts';
export { ssim, type SsimConvention, type SsimOptions } from './ssim.ts';
export { type Npz, openNpz, writeNpz } from '../formats/npz.ts';
