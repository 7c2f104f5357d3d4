/** For every field of a request: values that it takes, and one with which a small model makes another picture. A new field without a row does not compile. */

import fc from 'fast-check';
import { controlWindowRules } from '../../src/diffusion/control/control-window.ts';
import { controlModes } from '../../src/diffusion/control/layer-weights.ts';
import { latentFills } from '../../src/diffusion/latent-fill.ts';
import { seamlessAxes } from '../../src/extensions/seamless.ts';
import { bounds, type Bounds } from '../../src/generation/bounds.ts';
import { outpaintFills, outpaintMethods } from '../../src/generation/picture-fields.ts';
import { presetNames } from '../../src/generation/presets.ts';
import type { RequestInputOf, samplerSettingsFields } from '../../src/generation/request.ts';
import { promptSyntaxes } from '../../src/generation/prompt-fields.ts';
import { strengthRules } from '../../src/generation/strength-steps.ts';
import { resizeModes } from '../../src/image/fit-image.ts';
import { byteConventions } from '../../src/image/image-tensor.ts';
import { maskRules } from '../../src/image/inpaint-batch.ts';
import { emphases } from '../../src/prompt/emphasis.ts';
import { noiseConventions } from '../../src/random/noise-source.ts';

/** All fields of all tasks. */
export type Field = Exclude<
  keyof RequestInputOf<'txt2img'> | keyof RequestInputOf<'img2img'> | keyof RequestInputOf<'inpaint'>,
  'task'
>;

const whole = ({ min, max }: Bounds) => fc.integer({ min, max });
const real = ({ min, max }: Bounds) => fc.double({ min, max, noNaN: true, noDefaultInfinity: true });
const prompt = () => fc.string({ unit: 'grapheme', maxLength: 40 });
const prompts = () => fc.array(prompt(), { minLength: 1, maxLength: 4 });
const seed = () =>
  fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), fc.nat().map(String));

const samplerSettings = fc.record(
  {
    eta: real(bounds.eta),
    sNoise: real(bounds.factor),
    sChurn: real(bounds.factor),
    sTmin: real(bounds.sigma),
    sTmax: real(bounds.sigma),
    order: whole(bounds.order),
    solverType: fc.constantFrom('midpoint' as const, 'heun' as const),
    method: fc.constantFrom('multistep' as const, 'singlestep' as const),
    variant: fc.constantFrom('bh1' as const, 'bh2' as const),
    predictX0: fc.boolean(),
    lowerOrderFinal: fc.boolean(),
    temperature: real(bounds.factor),
    clipDenoised: fc.boolean(),
    r: real(bounds.factor),
    rtol: real(bounds.tolerance),
    atol: real(bounds.tolerance),
    hInit: real(bounds.factor),
    pcoeff: real(bounds.factor),
    icoeff: real(bounds.factor),
    dcoeff: real(bounds.factor),
    acceptSafety: real(bounds.factor),
    gamma: real(bounds.factor),
    restarts: fc.array(
      fc.record({
        minSigma: real(bounds.sigma),
        maxSigma: real(bounds.sigma),
        steps: whole(bounds.restartSteps),
        times: whole(bounds.restartTimes),
      }),
      { maxLength: 3 },
    ),
    timesteps: fc.array(whole(bounds.timestep), { minLength: 1, maxLength: 5 }),
    drawsOnlyUsed: fc.boolean(),
    endsAtDenoised: fc.boolean(),
    exactLevels: fc.boolean(),
    denoiseToZero: fc.boolean(),
    thresholdAt: real(bounds.factor),
  } satisfies { [K in keyof typeof samplerSettingsFields]: fc.Arbitrary<unknown> },
  { requiredKeys: [] },
);

const size = () => fc.record({ width: whole(bounds.side), height: whole(bounds.side) });
const sizes = {
  original: size(),
  crop: fc.record({ top: whole(bounds.crop), left: whole(bounds.crop) }),
  target: size(),
  aestheticScore: real(bounds.aestheticScore),
};

/** Values of every field. */
export const values: { readonly [F in Field]: fc.Arbitrary<unknown> } = {
  prompt: fc.oneof(prompt(), prompts()),
  promptBatches: fc.array(prompts(), { minLength: 1, maxLength: 3 }),
  negativePrompt: fc.oneof(prompt(), prompts()),
  promptSyntax: fc.constantFrom(...promptSyntaxes),
  promptSettings: fc.record(
    {
      emphasis: fc.constantFrom(...emphases),
      commaBacktrack: whole(bounds.commaBacktrack),
      firstPassSteps: whole(bounds.steps),
      oldScheduling: fc.boolean(),
    },
    { requiredKeys: [] },
  ),
  secondPrompt: fc.oneof(prompt(), prompts()),
  secondNegativePrompt: fc.oneof(prompt(), prompts()),
  emptyNegative: fc.constantFrom('zeros' as const, 'encoded' as const),
  sizeConditions: fc.record({ ...sizes, negative: fc.record(sizes, { requiredKeys: [] }) }, { requiredKeys: [] }),
  refiner: fc.string({ minLength: 1, maxLength: 20 }),
  classifier: fc.string({ minLength: 1, maxLength: 20 }),
  classifierScale: real(bounds.classifierScale),
  refinerSwitchAt: real(bounds.share),
  refinerSwitchBySteps: fc.boolean(),
  enlarge: fc.array(
    fc.record(
      {
        model: fc.string({ minLength: 1, maxLength: 20 }),
        steps: whole(bounds.steps),
        guidanceScale: real(bounds.guidance),
        noiseLevel: whole(bounds.noiseLevel),
        sampler: fc.string({ minLength: 1, maxLength: 20 }),
      },
      { requiredKeys: ['model'] },
    ),
    { minLength: 1, maxLength: 3 },
  ),
  classLabels: fc.array(whole(bounds.classLabel), { minLength: 1, maxLength: 4 }),
  boxes: fc.array(
    fc.record(
      {
        class: whole(bounds.classLabel),
        box: fc.tuple(real(bounds.share), real(bounds.share), real(bounds.share), real(bounds.share)),
        isGroup: fc.boolean(),
        isOccluded: fc.boolean(),
        isDepiction: fc.boolean(),
        isInside: fc.boolean(),
      },
      { requiredKeys: ['class', 'box'] },
    ),
    { minLength: 1, maxLength: 3 },
  ),
  boxClasses: whole({ min: 1, max: 10_000 }),
  cleanCaption: fc.boolean(),
  clipSkip: whole(bounds.clipSkip),
  preset: fc.constantFrom(...presetNames),
  steps: whole(bounds.steps),
  sampler: fc.string({ minLength: 1, maxLength: 20 }),
  schedule: fc.string({ minLength: 1, maxLength: 20 }),
  scheduleSettings: fc.record(
    { sigmaMin: real(bounds.sigma), sigmaMax: real(bounds.sigma), rho: real(bounds.rho) },
    { requiredKeys: [] },
  ),
  eta: real(bounds.eta),
  quantizeDenoised: fc.boolean(),
  samplerSettings,
  guidanceScale: real(bounds.guidance),
  guidanceRescale: real(bounds.share),
  noiseLevel: whole(bounds.noiseLevel),
  imageGuidanceScale: real(bounds.guidance),
  seed: seed(),
  seeds: fc.array(seed(), { minLength: 1, maxLength: 4 }),
  noise: fc.constantFrom(...noiseConventions),
  noiseSettings: fc.record(
    {
      subseed: seed(),
      subseedStrength: real(bounds.share),
      seedResizeFrom: fc.record({ width: whole(bounds.side), height: whole(bounds.side) }),
      etaNoiseSeedDelta: whole(bounds.seedDelta),
    },
    { requiredKeys: [] },
  ),
  batchSize: whole(bounds.batchSize),
  iterations: whole(bounds.iterations),
  firstIteration: whole(bounds.iterations),
  earlierBatches: fc.array(whole(bounds.batchSize), { minLength: 1, maxLength: 5 }),
  largestBatch: whole(bounds.batchSize),
  fixedCode: fc.boolean(),
  width: whole(bounds.side),
  height: whole(bounds.side),
  patches: fc.record({ size: whole(bounds.patch), stride: whole(bounds.patch), tieBreaker: fc.boolean() }),
  safety: fc.boolean(),
  watermark: fc.boolean(),
  bytes: fc.constantFrom(...byteConventions),
  decoder: fc.constantFrom('autoencoder', 'taesd'),
  control: fc.array(
    fc.record(
      {
        model: fc.string({ maxLength: 20 }),
        weight: real(bounds.controlWeight),
        start: real(bounds.share),
        end: real(bounds.share),
        mode: fc.constantFrom(...controlModes),
        passes: fc.constantFrom('both', 'first', 'second'),
        resize: fc.constantFrom(...resizeModes),
        preprocessor: fc.string({ maxLength: 20 }),
        resolution: whole(bounds.controlResolution),
        pixelPerfect: fc.boolean(),
        thresholdA: real(bounds.controlThreshold),
        thresholdB: real(bounds.controlThreshold),
        layerWeights: fc.array(real(bounds.controlWeight), { minLength: 1, maxLength: 13 }),
      },
      { requiredKeys: ['model'] },
    ),
    { minLength: 1, maxLength: 3 },
  ),
  imagePrompts: fc.array(
    fc.record(
      {
        model: fc.string({ maxLength: 20 }),
        weight: real(bounds.controlWeight),
        start: real(bounds.share),
        end: real(bounds.share),
      },
      { requiredKeys: ['model'] },
    ),
    { minLength: 1, maxLength: 3 },
  ),
  controlRule: fc.constantFrom(...controlWindowRules),
  strength: real(bounds.share),
  initialNoise: fc.double({ min: 0, max: 10, noNaN: true }),
  strengthRule: fc.constantFrom(...strengthRules),
  maskRule: fc.constantFrom(...maskRules),
  freeU: fc.record(
    {
      b1: real(bounds.freeU),
      b2: real(bounds.freeU),
      s1: real(bounds.freeU),
      s2: real(bounds.freeU),
      version: fc.constantFrom(1, 2),
    },
    { requiredKeys: ['b1', 'b2', 's1', 's2'] },
  ),
  selfAttentionGuidance: real(bounds.guidance),
  perturbedAttention: fc.record(
    {
      scale: real(bounds.guidance),
      layers: fc.array(fc.constantFrom('mid', 'down.0', 'up.1'), { minLength: 1, maxLength: 3 }),
      adaptive: real(bounds.share),
    },
    { requiredKeys: ['scale'] },
  ),
  tokenMerging: real(bounds.share),
  deepCache: fc.record(
    { interval: whole(bounds.cacheInterval), branch: whole(bounds.cacheBranch) },
    { requiredKeys: ['interval'] },
  ),
  seamless: fc.constantFrom(...seamlessAxes),
  maskedContent: fc.constantFrom(...latentFills),
  keepRule: fc.constantFrom('seen', 'after'),
  outpaint: fc.record({
    left: fc.integer({ min: 1, max: bounds.outpaint.max }),
    right: whole(bounds.outpaint),
    up: whole(bounds.outpaint),
    down: whole(bounds.outpaint),
    method: fc.constantFrom(...outpaintMethods),
    maskBlur: whole(bounds.outpaintBlur),
    fill: fc.constantFrom(...outpaintFills),
    fallOff: real(bounds.fallOff),
    colorVariation: real(bounds.share),
  }),
  colorCorrection: fc.boolean(),
  softInpainting: fc.record(
    {
      blendPower: real(bounds.softMask),
      blendScale: real(bounds.softMask),
      detailPreservation: real({ min: 1, max: 32 }),
      maskInfluence: real(bounds.share),
      differenceThreshold: real(bounds.softMask),
      differenceContrast: real(bounds.softMask),
    },
    { requiredKeys: [] },
  ),
};

/** Every setting of a sampler, none at its default. A list of timesteps is for two schedulers of diffusers only. */
export const everySamplerSetting: Readonly<Record<Exclude<keyof typeof samplerSettingsFields, 'timesteps'>, unknown>> =
  {
    eta: 0.5,
    sNoise: 1.1,
    sChurn: 10,
    sTmin: 0.1,
    sTmax: 10,
    order: 2,
    solverType: 'heun',
    method: 'singlestep_fixed',
    denoiseToZero: true,
    thresholdAt: 1.5,
    variant: 'bh1',
    predictX0: false,
    lowerOrderFinal: false,
    temperature: 0.9,
    clipDenoised: true,
    r: 0.4,
    rtol: 0.1,
    atol: 0.01,
    hInit: 0.1,
    pcoeff: 0.1,
    icoeff: 0.9,
    dcoeff: 0.1,
    acceptSafety: 0.7,
    gamma: 0.7,
    restarts: [{ minSigma: 0.1, maxSigma: 1, steps: 3, times: 1 }],
    drawsOnlyUsed: true,
    endsAtDenoised: true,
    exactLevels: true,
  };
