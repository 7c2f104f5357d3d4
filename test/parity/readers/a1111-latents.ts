/** A1111's work on latents and masks: hires. fix, inpainting fills and crops, soft inpainting. */

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { networkConfigSchema, type UNetConfig } from '../../../src/config/network-config.ts';
import { parseModelConfig } from '../../../src/config/model-config.ts';
import { guidedModel } from '../../../src/diffusion/guidance.ts';
import { type LatentUpscaleMode, upscaleLatent } from '../../../src/diffusion/latent-upscale.ts';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import type { SamplingRequest } from '../../../src/diffusion/sampler.ts';
import { euler } from '../../../src/diffusion/samplers/euler.ts';
import { sigmasOf, startAt } from '../../../src/diffusion/samplers/sigma-sampler.ts';
import {
  blendKeepingMagnitude,
  changeMasks,
  type SoftInpainting,
  softMask,
} from '../../../src/diffusion/soft-inpainting.ts';
import { strengthSteps } from '../../../src/generation/strength-steps.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { expandRectangle, maskRectangle } from '../../../src/image/inpaint-region.ts';
import { blurMask } from '../../../src/image/mask-blur.ts';
import { latentMask } from '../../../src/image/inpaint-batch.ts';
import { fillHole } from '../../../src/image/mask-fill.ts';
import { openDenoiserForms } from '../../../src/model/denoiser-forms.ts';
import { overlayMask } from '../../../src/pipelines/soft-overlay.ts';
import { filledLatent } from '../../../src/diffusion/latent-fill.ts';
import { toFloat32 } from '../../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { stack } from '../analytic-model.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

interface Case {
  readonly recorded: RecordedCase;
  readonly compare: Comparisons;
}

const floats = (tensors: Tensors, name: string): Tensor<'float32'> => toFloat32(pick(tensors, name));
const read = ({ recorded }: Case, file: string): Tensors => readTensors(join(recorded.folder, `${file}.safetensors`));
const valuesOf = ({ recorded }: Case): Readonly<Record<string, Recorded>> =>
  JSON.parse(readFileSync(join(recorded.folder, 'values.json'), 'utf8'));

function check({ recorded, compare }: Case, wanted: Tensors, output: string, got: Tensor | undefined): void {
  compare.tensor(output, got, pick(wanted, output), (recorded.row['outputs'] as Recorded)[output].atol ?? 0);
}

function imageOf<C extends 1 | 3>(tensor: Tensor, channels: C): Image<C> {
  const [height = 1, width = 1] = tensor.shape;
  return createImage(width, height, channels, Uint8Array.from(tensor.data as Uint8Array));
}

const bytes = (image: Image, shape: readonly number[]): Tensor => ({ dtype: 'uint8', shape, data: image.data });

async function compareModes(one: Case): Promise<void> {
  const latent = floats(read(one, 'inputs'), 'latent');
  const wanted = read(one, 'outputs');
  for (const output of wanted.keys()) {
    const [, mode = '', height, width] = /^(.*)\.(\d+)x(\d+)$/.exec(output) ?? [];
    check(one, wanted, output, upscaleLatent(latent, Number(height), Number(width), mode as LatentUpscaleMode));
  }
}

async function compareSteps(one: Case): Promise<void> {
  for (const [name, wanted] of Object.entries(valuesOf(one))) {
    const [, steps, strength, fix, explicit] =
      /^steps (\d+) strength ([\d.]+) fix (\w+) explicit (\w+)$/.exec(name) ?? [];
    const isExact = fix === 'True' || explicit !== 'None';
    if (isExact && Number(strength) === 0) {
      one.compare.skip(name, 'strength 0 makes an empty schedule in A1111, which then fails; here nothing is run');
      continue;
    }
    const asked = explicit === 'None' ? Number(steps) : Number(explicit);
    const cut = strengthSteps(isExact ? 'all' : 'a1111', asked, Number(strength), 'sigma');
    const evaluations = cut.steps - cut.startStep;
    one.compare.exact(
      name,
      { schedule_steps: cut.steps, t_enc: evaluations - 1, evaluations, first_sigma_index: cut.startStep },
      wanted,
    );
  }
}

/** The guided UNet of a case. */
async function withUNet(
  one: Case,
  scale: number,
  run: (model: SamplingRequest['model'], inputs: Tensors) => Promise<void>,
): Promise<void> {
  const { row, setFolder } = one.recorded;
  const path = join(setFolder, String((row['weights'] as Recorded).unet));
  const yaml = join(dirname(path), 'config.yaml');
  const config = networkConfigSchema.parse(parseModelConfig(readFileSync(yaml, 'utf8'), yaml)) as UNetConfig;
  const weights = canonicalWeights(memoryWeights(readTensors(path)), config).source;
  const inputs = read(one, 'inputs');
  await using forms = openDenoiserForms({
    label: 'UNet',
    engine: parityEngine(),
    config,
    weights: [weights],
    extensions: [],
  });
  const model = guidedModel({
    network: forms.network(),
    schedule: stableDiffusionSchedule(),
    parameterization: 'eps',
    condition: { context: floats(inputs, 'context') },
    unconditional: { context: floats(inputs, 'uncond') },
    scale,
  });
  await run(model, inputs);
}

async function compareHires(one: Case): Promise<void> {
  const settings = settingsOf(one.recorded);
  const wanted = read(one, 'outputs');
  await withUNet(one, settings.cfg_scale, async (model, inputs) => {
    const noise = floats(inputs, 'noise');
    const [, , height = 0, width = 0] = noise.shape;
    const variants = settings['variants {mode: [denoising strength, hires steps]}'];
    for (const [mode, [strength, steps]] of Object.entries<Recorded>(variants)) {
      const initial = upscaleLatent(floats(inputs, 'first'), height, width, mode as LatentUpscaleMode);
      const request: SamplingRequest = {
        model,
        startNoise: noise,
        initial,
        ...strengthSteps('all', steps, strength, 'sigma'),
      };
      const sigmas = sigmasOf({}, request);
      check(one, wanted, `${mode}.sigmas`, float32([sigmas.length], sigmas));
      check(one, wanted, `${mode}.start`, startAt(request, sigmas[0] as number));
      const denoised: Tensor<'float32'>[] = [];
      const sampling = euler.run(request);
      let next = await sampling.next();
      for (; !next.done; next = await sampling.next()) denoised.push(next.value.denoised);
      check(one, wanted, `${mode}.denoised`, stack(denoised));
      check(one, wanted, `${mode}.samples`, next.value);
    }
  });
}

async function compareFills(one: Case): Promise<void> {
  const settings = settingsOf(one.recorded);
  const wanted = read(one, 'outputs');
  await withUNet(one, settings.cfg_scale, async (model, inputs) => {
    const image = imageOf(pick(inputs, 'image'), 3);
    const mask = imageOf(pick(inputs, 'mask'), 1);
    const latent = floats(inputs, 'init_latent');
    const [, , rows = 0, columns = 0] = latent.shape;
    const flat = ({ data }: Tensor<'float32'>): Tensor => float32([rows, columns], data);
    for (const output of wanted.keys()) {
      const [, kind, sigma, rounding] = /^(mask|fill|latent_mask)\.blur(\d+)(?:\.(\w+))?$/.exec(output) ?? [];
      const blurred = blurMask(mask, Number(sigma), Number(sigma));
      const { width, height } = image;
      if (kind === 'mask') check(one, wanted, output, bytes(blurred, [height, width]));
      if (kind === 'fill') check(one, wanted, output, bytes(fillHole(image, blurred), [height, width, 3]));
      if (kind === 'latent_mask')
        check(one, wanted, output, flat(latentMask(blurred, rows, columns, rounding === 'soft' ? 'soft' : 'round')));
    }
    const [, sigma, rounding] = /^blur (\d+), (\w+)/.exec(settings['run mask']) ?? [];
    const painted = latentMask(
      blurMask(mask, Number(sigma), Number(sigma)),
      rows,
      columns,
      rounding === 'rounded' ? 'round' : 'soft',
    );
    for (const fill of ['original', 'latent noise', 'latent nothing'] as const) {
      const name = fill.replace(' ', '_');
      const noise = { ...floats(inputs, 'fill_noise'), shape: latent.shape };
      const filled = filledLatent(latent, painted, fill, () => noise);
      check(one, wanted, `init.${name}`, filled);
      const kept = { ...painted, data: painted.data.map((value) => 1 - value) };
      const sampling = euler.run({
        model,
        startNoise: floats(inputs, 'noise'),
        initial: filled,
        inpainting: { mask: kept, latent: filled, rule: 'after' },
        ...strengthSteps('a1111', settings.steps, settings['denoising strength'], 'sigma'),
      });
      let next = await sampling.next();
      while (!next.done) next = await sampling.next();
      check(one, wanted, `samples.${name}`, next.value);
    }
  });
}

async function compareCrops(one: Case): Promise<void> {
  for (const [name, wanted] of Object.entries(valuesOf(one))) {
    const numbers = (name.match(/\d+/g) ?? []).map(Number);
    const [width = 0, height = 0, left = 0, top = 0, right = 0, bottom = 0, padding = 0, wide = 0, tall = 0] = numbers;
    const mask = createImage(width, height, 1);
    for (let y = top; y < bottom; y++) mask.data.fill(255, y * width + left, y * width + right);
    const region = maskRectangle(mask, padding);
    const corners = (of: typeof region) => of && [of.left, of.top, of.right, of.bottom];
    const expanded = region && expandRectangle(region, wide, tall, width, height);
    one.compare.exact(name, { crop_region: corners(region), expanded: corners(expanded) }, wanted);
  }
}

async function compareSoft(one: Case): Promise<void> {
  const inputs = read(one, 'inputs');
  const wanted = read(one, 'outputs');
  const [[label, variants]] = Object.entries<Recorded>(settingsOf(one.recorded)) as [[string, Recorded]];
  if (!label.startsWith('settings [mask_blend_power')) throw new Error(`unknown settings ${label}`);
  const sigma = floats(inputs, 'sigma').data[0] as number;
  const [a, b, mask] = [floats(inputs, 'a'), floats(inputs, 'b'), floats(inputs, 'nmask')];
  const { width, height } = imageOf(pick(inputs, 'overlay'), 3);
  for (const [name, numbers] of Object.entries<Recorded>(variants)) {
    const [blendPower, blendScale, detailPreservation, maskInfluence, differenceThreshold, differenceContrast] =
      numbers;
    const settings: SoftInpainting = {
      blendPower,
      blendScale,
      detailPreservation,
      maskInfluence,
      differenceThreshold,
      differenceContrast,
    };
    const soft = softMask(mask, sigma, settings);
    check(one, wanted, `nmask.${name}`, soft);
    check(one, wanted, `blend.${name}`, blendKeepingMagnitude(a, b, soft, settings));
    const made = changeMasks(a, floats(inputs, 'processed'), mask, settings).map((plane) => {
      const [, rows = 0, columns = 0] = mask.shape;
      return overlayMask(createImage(columns, rows, 1, plane), width, height).data;
    });
    const want = pick(wanted, `overlay_mask.${name}`).data;
    const off = made.flatMap((plane) => [...plane]).map((value, i) => Math.abs(value - Number(want[i])));
    one.compare.error(`overlay_mask.${name}`, off.length === want.length ? Math.max(...off) : 255, 1);
  }
}

const kinds: readonly (readonly [original: RegExp, compare: (one: Case) => Promise<void>])[] = [
  [/latent_upscale_modes/, compareModes],
  [/setup_img2img_steps/, compareSteps],
  [/sample_hr_pass/, compareHires],
  [/modules\.masking\.fill/, compareFills],
  [/modules\.masking$/, compareCrops],
  [/soft-inpainting/, compareSoft],
];
const kindOf = (row: RecordedCase['row']) => kinds.find(([original]) => original.test(originalOf(row)));

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'a1111' && kindOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => {
    await kindOf(recorded.row)?.[1]({ recorded, compare });
  }),
};
