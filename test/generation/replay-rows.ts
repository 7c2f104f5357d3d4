/** Settings of every field for the replay test: the options, and those of the picture without the setting. */

import { tasks } from '../../src/generation/request.ts';
import type { Field } from './sample-requests.ts';

export interface Row {
  readonly options: object;
  /** The picture without the setting. Default: `options` without the field. */
  readonly without?: object;
  readonly model?: 'tiny' | 'vq' | 'classes' | 'xl' | 'layout' | 'if';
  /** The setting changes nothing in these circumstances: only the replay is compared. */
  readonly changesNothing?: true;
}

export const noise = 'a1111-cpu';
const ancestral = { noise, sampler: 'Euler a' };
const small = { width: 32, height: 32, steps: 4 };
const wide = { width: 64, height: 32 };
const judged = { classLabels: [2], classifierScale: 900 };
const tiles = { width: 16, height: 16 };
const pixels = { width: 16, height: 16, steps: 2, batchSize: 2, sampler: 'DDPMScheduler' };
const box = { class: 3, box: [0.1, 0.2, 0.5, 0.5] } as const;

/** One row at least for every field. */
export const rows: { readonly [F in Field]: readonly Row[] } = {
  prompt: [{ options: { prompt: 'a blue car' } }, { options: { prompt: ['a', 'b'] } }],
  promptBatches: [{ options: { promptBatches: [['a', 'b'], ['c']], prompt: undefined, fixedCode: true } }],
  negativePrompt: [{ options: { negativePrompt: 'ugly' } }, { options: { negativePrompt: ['x', 'y'], batchSize: 2 } }],
  promptSyntax: [{ options: { promptSyntax: 'a1111', prompt: '(red:1.6) apple' } }],
  promptSettings: [
    { options: { promptSyntax: 'a1111', prompt: '(red:1.6) apple', promptSettings: { emphasis: 'No norm' } } },
    { options: { promptSyntax: 'a1111', prompt: '[a:b:1]', promptSettings: { firstPassSteps: 3 } } },
  ],
  secondPrompt: [{ model: 'xl', options: { ...small, secondPrompt: ['a', 'b'], batchSize: 2 } }],
  secondNegativePrompt: [{ model: 'xl', options: { ...small, secondNegativePrompt: 'ugly' } }],
  emptyNegative: [{ model: 'xl', options: { ...small, emptyNegative: 'encoded' } }],
  sizeConditions: [
    { model: 'xl', options: { ...small, sizeConditions: { crop: { top: 64, left: 0 } } } },
    { model: 'xl', options: { ...small, sizeConditions: { negative: { original: wide } } } },
    { model: 'xl', options: { ...small, promptSyntax: 'a1111', sizeConditions: { negative: { target: wide } } } },
  ],
  refiner: [
    { model: 'xl', options: { ...small, refined: true }, without: small },
    { model: 'xl', options: { ...small, refined: true, promptSyntax: 'a1111', prompt: '[a:b:2] car' }, without: small },
  ],
  classifier: [
    { options: { ...judged, judged: 'tiny' }, without: {} },
    {
      model: 'classes',
      options: { ...judged, ...tiles, judged: 'classes' },
      without: { classLabels: [2], ...tiles },
    },
  ],
  classifierScale: [
    { options: { ...judged, judged: 'tiny', classifierScale: 40 }, without: { classLabels: [2], judged: 'tiny' } },
  ],
  enlarge: tasks.map((task) => ({ model: 'if', options: { ...pixels, task, enlarge: true } })),
  refinerSwitchAt: [{ model: 'xl', options: { ...small, refined: true, refinerSwitchAt: 0.3 } }],
  refinerSwitchBySteps: [
    { model: 'xl', options: { ...small, refined: true, refinerSwitchAt: 0.6, refinerSwitchBySteps: true } },
  ],
  classLabels: [
    {
      model: 'classes',
      options: { classLabels: [3, 7], width: 16, height: 16 },
      without: { classLabels: [2], width: 16, height: 16 },
    },
  ],
  boxes: [
    {
      model: 'layout',
      options: { boxes: [box, { ...box, class: 5 }], width: 16, height: 16 },
      without: { boxes: [box], width: 16, height: 16 },
    },
  ],
  boxClasses: [
    {
      model: 'layout',
      options: { boxes: [{ ...box, isOccluded: true }], boxClasses: 9, width: 16, height: 16 },
      without: { boxes: [{ ...box, isOccluded: true }], boxClasses: 11, width: 16, height: 16 },
    },
  ],
  cleanCaption: [{ model: 'if', options: { ...pixels, prompt: 'a (red) apple', cleanCaption: false } }],
  clipSkip: [{ options: { clipSkip: 2 } }],
  preset: [{ options: { preset: 'lcm' } }, { options: { preset: 'hyper', guidanceScale: 2 } }],
  steps: [{ options: { steps: 4 } }],
  sampler: [{ options: { sampler: 'DPM++ 2M SDE Karras' } }, { options: { sampler: 'PNDMScheduler', steps: 4 } }],
  schedule: [{ options: { sampler: 'euler', schedule: 'karras' } }],
  scheduleSettings: [
    {
      options: { sampler: 'euler', schedule: 'karras', scheduleSettings: { rho: 3, sigmaMax: 10 } },
      without: { sampler: 'euler', schedule: 'karras' },
    },
  ],
  eta: [{ options: { eta: 0.7 } }],
  quantizeDenoised: [
    { model: 'vq', options: { quantizeDenoised: true, width: 16, height: 16 }, without: { width: 16, height: 16 } },
  ],
  samplerSettings: [{ options: { sampler: 'euler', samplerSettings: { sChurn: 20 } }, without: { sampler: 'euler' } }],
  guidanceScale: [{ options: { guidanceScale: 2 } }],
  guidanceRescale: [{ options: { guidanceRescale: 0.7 } }],
  noiseLevel: [{ options: { task: 'img2img', noiseLevel: 3 }, changesNothing: true }],
  freeU: [{ options: { freeU: { b1: 1.5, b2: 1.6, s1: 0.9, s2: 0.2 } } }],
  selfAttentionGuidance: [{ options: { selfAttentionGuidance: 0.75 } }],
  perturbedAttention: [{ options: { perturbedAttention: { scale: 3, layers: ['mid', 'up.0'] } } }],
  tokenMerging: [{ options: { tokenMerging: 0.5 } }],
  deepCache: [{ options: { deepCache: { interval: 2 }, steps: 4 } }],
  seamless: [{ options: { seamless: 'both' } }, { options: { seamless: 'x', promptSyntax: 'a1111' } }],
  maskedContent: [{ options: { task: 'inpaint', noise, maskedContent: 'latent noise', strength: 0.5 } }],
  keepRule: [{ options: { task: 'inpaint', sampler: 'euler', keepRule: 'after' } }],
  softInpainting: [{ options: { task: 'inpaint', sampler: 'euler', softInpainting: { blendScale: 2 } } }],
  imageGuidanceScale: [{ options: { task: 'img2img', imageGuidanceScale: 2 }, changesNothing: true }],
  outpaint: [{ options: { ...ancestral, task: 'img2img', outpaint: { left: 16 } } }],
  colorCorrection: tasks.slice(1).map((task) => ({ options: { task, colorCorrection: true } })),
  seed: [{ options: { seed: 2n ** 63n + 5n } }, { options: { noise, seed: -4 } }],
  seeds: [{ options: { noise, seeds: [3, 2n ** 60n], prompt: ['a', 'b'] } }],
  noise: [{ options: { noise: 'a1111-nv' } }, { options: { noise: 'comfy', eta: 1 } }],
  noiseSettings: [
    { options: { noise, noiseSettings: { subseed: 5, subseedStrength: 0.4 } }, without: { noise } },
    { options: { noise, noiseSettings: { seedResizeFrom: { width: 32, height: 32 } } }, without: { noise } },
    { options: { ...ancestral, noiseSettings: { etaNoiseSeedDelta: 31337 } }, without: ancestral },
  ],
  batchSize: [{ options: { batchSize: 2 }, changesNothing: true }],
  iterations: [{ options: { iterations: 3, eta: 1 }, changesNothing: true }, { options: { noise, iterations: 2 } }],
  firstIteration: [{ options: { iterations: 2, firstIteration: 2 }, without: {} }],
  earlierBatches: [
    { options: { iterations: 3, earlierBatches: [2, 1] }, without: { iterations: 3, firstIteration: 3 } },
  ],
  largestBatch: [{ options: { largestBatch: 3, fixedCode: true, eta: 1 }, without: { fixedCode: true, eta: 1 } }],
  fixedCode: [{ options: { fixedCode: true, iterations: 2, eta: 1 }, without: { iterations: 2 } }],
  width: [{ options: { width: 96 } }],
  height: [{ options: { height: 96 } }],
  safety: [{ options: { safety: false }, changesNothing: true }],
  watermark: [
    { options: { watermark: true, width: 256, height: 256, steps: 1 }, without: { width: 256, height: 256, steps: 1 } },
  ],
  bytes: [{ options: { bytes: 'diffusers' } }],
  decoder: [{ options: { decoder: 'taesd' } }],
  patches: [{ options: { patches: { size: 8, stride: 8 }, width: 96 } }],
  control: [
    { options: { control: ['net'] } },
    { options: { control: ['net', 'adapter'], noise: 'diffusers' }, without: { control: ['net'], noise: 'diffusers' } },
    { options: { task: 'img2img', control: ['net'] } },
    { options: { control: ['reference'], noise: 'a1111-cpu', seeds: [7, 8], batchSize: 2 } },
    { options: { task: 'inpaint', control: ['net'], promptSyntax: 'a1111' } },
  ],
  imagePrompts: [{ options: { imagePrompts: ['prompt'] } }],
  controlRule: [{ options: { control: ['late'], controlRule: 'diffusers' }, without: { control: ['late'] } }],
  strength: [
    { options: { task: 'img2img', strength: 0.4 } },
    { options: { task: 'inpaint', strength: 0.4 } },
    { options: { task: 'inpaint' }, changesNothing: true },
  ],
  initialNoise: [
    {
      options: { task: 'img2img', strength: 0.5, initialNoise: 0.8 },
      without: { task: 'img2img', strength: 0.5 },
    },
    {
      options: { task: 'inpaint', strength: 0.5, initialNoise: 1.2, noise: 'a1111-cpu' },
      without: { task: 'inpaint', strength: 0.5, noise: 'a1111-cpu' },
    },
  ],
  strengthRule: [
    {
      options: { task: 'img2img', strength: 0.5, strengthRule: 'all', sampler: 'euler' },
      without: { task: 'img2img', strength: 0.5, sampler: 'euler' },
    },
  ],
  maskRule: [{ options: { task: 'inpaint', maskRule: 'soft' }, without: { task: 'inpaint' } }],
};
