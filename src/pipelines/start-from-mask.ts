/**
 * Inpainting, in three ways, by the model:
 *
 * - Stable Diffusion with nine input channels sees mask and masked image (runwayml's scripts/inpaint_st.py).
 * - LDM's own inpainting model, without text, sees the masked image's latent and the mask (CompVis's scripts/inpaint.py).
 * - With any other model the kept part is blended in at every step (Rombach et al. 2022, DDIMSampler's `mask` and `x0`).
 */

import { StableDiffusionError } from '../errors.ts';
import { seedOf } from '../random/plain-seed.ts';
import type { RequestOf } from '../generation/request.ts';
import { cutOf } from '../generation/strength-steps.ts';
import { type Image, toRgb } from '../image/image.ts';
import { imagesToTensor } from '../image/image-tensor.ts';
import { fitInitImage, initImageTensor } from '../image/init-image.ts';
import { type InpaintBatch, inpaintBatch, interpolateMask, latentMask } from '../image/inpaint-batch.ts';
import { resize } from '../image/resize.ts';
import type { Model } from '../model/model.ts';
import type { SeededNoise } from '../random/noise-source.ts';
import { NumpyRandomState } from '../random/numpy-random-state.ts';
import { concatenate } from '../tensor/arithmetic.ts';
import { bytesOf, type Tensor, tensor } from '../tensor/tensor.ts';
import type { Inpainting } from '../diffusion/sampler.ts';
import { filledLatent } from '../diffusion/latent-fill.ts';
import { softInpaintingDefaults } from '../diffusion/soft-inpainting.ts';
import { createNoise } from '../random/create-noise.ts';
import { digest, digestBytes } from './digest.ts';
import { type Enlarge, enlargingOf } from './enlarging.ts';
import { repeated, sampleLatent } from './initial-latent.ts';
import type { PictureSize } from './picture-size.ts';
import { isPixelStage, stageMask } from './pixel-stage.ts';
import type { Start, StartOf } from './start.ts';
import { definedFields } from '../config/defined-fields.ts';

/** An image and its mask at the picture's size. */
interface Painting {
  readonly model: Model;
  readonly request: RequestOf<'inpaint'>;
  readonly image: Image;
  readonly mask: Image;
  readonly width: number;
  readonly height: number;
  /** Sides of the latent. */
  readonly rows: number;
  readonly columns: number;
  /** Of a model that enlarges a smaller picture. */
  readonly enlarge?: Enlarge | undefined;
  /** The caller gave a source of noise. */
  readonly hasOwnNoise: boolean;
  readonly signal: AbortSignal | undefined;
}

/** The addition of one of the three methods to the start. */
type Way = (painting: Painting) => Pick<Start, 'prepare' | 'firstNoise' | 'revise'>;

/** The scaled latent of the image: diffusers draws it from the posterior, the others take the mean. */
async function knownLatent(painting: Painting, noise: SeededNoise, batch: number): Promise<Tensor<'float32'>> {
  const { model, request, image, width, height, signal } = painting;
  const picture = initImageTensor(image, { width, height, multiple: model.unit });
  if (request.noise === 'diffusers') return sampleLatent(model, repeated(picture, batch), noise, signal, request);
  const { mean } = await model.encodeImage(picture, signal, request);
  return repeated(model.scaleLatent(mean), batch);
}

const nineChannels: Way = (painting) => ({
  async prepare(noise, batch, drawStart) {
    const { model, request, image, mask, rows, columns, signal } = painting;
    const parts = inpaintBatch(image, mask, 'stable-diffusion', { soft: request.maskRule === 'soft' });
    const start =
      request.strength === 1 ? {} : { initial: await knownLatent(painting, noise, batch), cut: cutOf(request) };
    // diffusers draws the start noise before the posterior of the masked image.
    if (request.noise === 'diffusers') drawStart();
    const masked = await sampleLatent(model, repeated(parts.maskedImage, batch), noise, signal, request);
    return { ...start, concat: concatenate([repeated(interpolateMask(parts.mask, rows, columns), batch), masked], 1) };
  },
  // inpaint_st.py draws its start noise from numpy, apart from torch's stream.
  ...(painting.request.noise === 'compvis' && !painting.hasOwnNoise
    ? { firstNoise: (shape) => new NumpyRandomState(seedOf(painting.request.seed)).randnFloat32(shape) }
    : {}),
});

/** The decoded images [b, 3, H, W] where the mask (here -1 or 1) is painted, else the given image. */
function pasteKnown(decoded: Tensor<'float32'>, { image, mask }: InpaintBatch): Tensor<'float32'> {
  const plane = mask.data.length;
  const data = decoded.data.map((value, i) =>
    (mask.data[i % plane] as number) > 0 ? value : (image.data[i % image.data.length] as number),
  );
  return tensor('float32', decoded.shape, data);
}

const latentDiffusion: Way = ({ model, request, image, mask, rows, columns, signal }) => {
  const parts = inpaintBatch(image, mask, 'latent-diffusion');
  return {
    async prepare(_noise, batch) {
      const { mean } = await model.encodeImage(parts.maskedImage, signal, request);
      return { concat: repeated(concatenate([mean, interpolateMask(parts.mask, rows, columns)], 1), batch) };
    },
    // inpaint.py pastes the known part back in.
    revise: (decoded) => pasteKnown(decoded, parts),
  };
};

/** DeepFloyd IF: the kept part stays clean in the state, and the rest starts from the noised picture at every strength. */
const keptClean: Way = (painting) => ({
  async prepare(noise, batch, drawStart) {
    const { request, image, mask, width, height } = painting;
    const latent = repeated(imagesToTensor([toRgb(image)]), batch);
    const kept = tensor(
      'float32',
      [1, 1, height, width],
      Float32Array.from(mask.data, (value) => (value ? 0 : 1)),
    );
    drawStart();
    return {
      initial: latent,
      cut: cutOf(request),
      inpainting: { mask: repeated(kept, batch), latent, rule: 'clean' },
      ...painting.enlarge?.(noise, batch),
    };
  },
});

const blended: Way = (painting) => ({
  async prepare(noise, batch, drawStart) {
    const { model, request, image, mask, rows, columns } = painting;
    const { maskedContent = 'original', softInpainting: soft, keepRule } = request;
    const known = await knownLatent(painting, noise, batch);
    const parts = inpaintBatch(image, mask, 'stable-diffusion');
    if (request.noise === 'diffusers') {
      drawStart();
      // diffusers encodes the masked image for these models too, and draws from its posterior without using it.
      if (model.checkpoint.config.first_stage_config.kind === 'kl') noise.normal(known.shape);
    }
    const { maskRule = 'threshold' } = request;
    const rule = soft ? 'soft' : maskRule;
    const painted =
      rule === 'threshold' ? interpolateMask(parts.mask, rows, columns) : latentMask(mask, rows, columns, rule);
    const latent = filledLatent(known, painted, maskedContent, () => fillNoise(request, noise).normal(known.shape));
    const kept = tensor(
      'float32',
      painted.shape,
      painted.data.map((value) => 1 - value),
    );
    const inpainting: Inpainting = {
      mask: repeated(kept, batch),
      latent,
      rule: soft ? 'after' : (keepRule ?? 'seen'),
      ...(soft ? { soft: { ...softInpaintingDefaults, ...definedFields(soft) } } : {}),
    };
    return request.strength === 1 ? { inpainting } : { inpainting, initial: latent, cut: cutOf(request) };
  },
});

/** Programs that seed each picture draw the fill as they draw the start; CompVis's stream goes on. */
function fillNoise({ noise: convention, seed, seeds }: RequestOf<'inpaint'>, stream: SeededNoise): SeededNoise {
  if (convention === 'compvis') return stream;
  return createNoise({ convention, seed: seedOf(seed), ...(seeds ? { seeds: seeds.map(seedOf) } : {}) });
}

function wayOf(model: Model): Way {
  if (isPixelStage(model)) return keptClean;
  const { checkpoint } = model;
  const { conditioning_key, cond_stage_config } = checkpoint.config;
  if (checkpoint.kind === 'inpaint') return nineChannels;
  return conditioning_key === 'concat' && cond_stage_config === 'first_stage' ? latentDiffusion : blended;
}

/** Whether the kept part is blended in at every step: the model itself does not see the mask. */
export const blendsMask = (model: Model): boolean => wayOf(model) === blended;

/** Throws `invalid-argument` for settings of the mask that only models without inpainting channels have. */
function checkMaskSettings(
  way: Way,
  { maskedContent, keepRule, softInpainting }: RequestOf<'inpaint'>,
  label: string,
): void {
  if (way !== blended && (maskedContent || keepRule || softInpainting))
    throw new StableDiffusionError(
      'invalid-argument',
      `${label} treats the mask in its own way: maskedContent, keepRule and softInpainting are for other models. Leave them out.`,
    );
}

/** The picture and the mask at the size of the result, by the model's rule. */
function fitted(model: Model, image: Image, mask: Image, size: PictureSize): Pick<Painting, 'image' | 'mask'> {
  const { width, height } = size;
  const pixels = isPixelStage(model);
  const options = { width, height, multiple: model.unit, ...(pixels ? { filter: 'bicubic' as const } : {}) };
  if (pixels) return { image: fitInitImage(image, options), mask: stageMask(mask, size) };
  const isFit = mask.width === width && mask.height === height;
  return { image: fitInitImage(image, options), mask: isFit ? mask : resize(mask, width, height, 'nearest') };
}

export const startFromMask: StartOf<'inpaint'> = async (model, request, inputs, size) => {
  const { image, mask, noiseSource, signal, tensors } = inputs;
  if (!image || !mask) throw new StableDiffusionError('invalid-argument', 'Inpainting needs an image and a mask.');
  const { width, height } = size;
  checkMaskSettings(wayOf(model), request, model.label);
  const painting: Painting = {
    model,
    request,
    ...fitted(model, image, mask, size),
    enlarge: enlargingOf(model, { small: tensors.small, size, level: request.noiseLevel ?? 0 }),
    width,
    height,
    rows: height / model.downsampling,
    columns: width / model.downsampling,
    hasOwnNoise: noiseSource !== undefined,
    signal,
  };
  return {
    digests: {
      image: await digest(image),
      mask: await digest(mask),
      ...(tensors.small ? { small: await digestBytes(bytesOf(tensors.small)) } : {}),
    },
    ...wayOf(model)(painting),
    ...(request.colorCorrection ? { colors: toRgb(painting.image) } : {}),
  };
};
