/** sd-webui-controlnet: one call of the UNet under its units, the steps in which they act, its resolutions and maps. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import type { KlConfig } from '../../../src/config/network-config.ts';
import { halfInput } from '../../../src/diffusion/control/control-unit.ts';
import { isInWindow } from '../../../src/diffusion/control/control-window.ts';
import { adapterWeights, controlNetWeights } from '../../../src/diffusion/control/layer-weights.ts';
import type { DenoiserInputs } from '../../../src/diffusion/guidance.ts';
import { stableDiffusionSchedule } from '../../../src/diffusion/noise-schedule.ts';
import { inSecondPass } from '../../../src/generation/control-fields.ts';
import { fitMap, fitMaskedMap, pixelPerfectResolution, wholeLatents } from '../../../src/image/control-map.ts';
import type { ResizeMode } from '../../../src/image/fit-image.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { floatImage } from '../../../src/image/float-image.ts';
import { autoencoderOf } from '../../../src/model/autoencoder.ts';
import { type ControlModel, openControlModel } from '../../../src/model/control-model.ts';
import { type ControlInput, planControls } from '../../../src/model/control-units.ts';
import { controlledDenoiser } from '../../../src/model/controlled-denoiser.ts';
import type { DenoisingModel } from '../../../src/model/extended-denoiser.ts';
import { referenceControl } from '../../../src/model/reference-control.ts';
import { NetworkSet } from '../../../src/model/network-set.ts';
import { blendKnown, resultShare } from '../../../src/image/blend-known.ts';
import { preparedMask } from '../../../src/image/inpaint-region.ts';
import { atResolution } from '../../../src/preprocessors/working-size.ts';
import { maskedHint } from '../../../src/pipelines/control-maps.ts';
import { scale } from '../../../src/tensor/arithmetic.ts';
import { float32, type Tensor, tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { generateWeights } from '../../generated-weights.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting, type Comparisons } from '../comparisons.ts';
import { floats, unetModel, wholeRun } from '../control-case.ts';
import { parityEngine } from '../engine.ts';
import { originalOf, type Reader, type Recorded, type RecordedCase, settingsOf } from '../reader.ts';

const schedule = stableDiffusionSchedule();

/** Channels [from, to) of a hint. */
function channels(hint: Tensor<'float32'>, from: number, to: number): Tensor<'float32'> {
  const [, , h = 1, w = 1] = hint.shape;
  return tensor('float32', [1, to - from, h, w], hint.data.slice(from * h * w, to * h * w));
}

/** The first stage's mean of a hint's colours, scaled. */
async function encoded(setFolder: string, hint: Tensor<'float32'>): Promise<Tensor<'float32'>> {
  const path = join(setFolder, 'base/vae.json');
  const config = huggingFaceNetwork(
    { ...JSON.parse(readFileSync(path, 'utf8')), _class_name: 'AutoencoderKL' },
    path,
  ) as KlConfig;
  const file = memoryWeights(readTensors(join(setFolder, 'base/vae.safetensors')), path);
  const networks = new Map([['first_stage', { config, weights: canonicalWeights(file, config).source }]]);
  await using set = new NetworkSet({ label: path, engine: parityEngine(), networks });
  const stage = autoencoderOf(config, set);
  const signed = tensor(
    'float32',
    hint.shape,
    hint.data.map((value) => 2 * value - 1),
  );
  return scale(stage.posterior(await stage.encode(signed)).mean, 0.18215);
}

interface Calling {
  readonly recorded: RecordedCase;
  readonly model: DenoisingModel;
  readonly open: (kind: unknown, pool: boolean) => ControlModel;
  readonly inputs: Tensors;
}

/** One recorded unit as a control. Undefined where it does not act. */
async function controlOf(call: Calling, unit: Recorded, isHires: boolean): Promise<ControlInput | undefined> {
  const { inputs, recorded } = call;
  const fields = {
    mode: unit.mode,
    preprocessor: String(unit.module),
    passes: unit.hro === 'LOW_RES_ONLY' ? 'first' : 'both',
  } as const;
  const used = isHires ? inSecondPass(fields) : fields;
  if (!used || unit.stopped) return undefined;
  const given = floats(inputs, isHires ? `${unit.hint}_hires` : unit.hint);
  const colours = channels(given, 0, 3);
  const mask = given.shape[1] === 4 ? channels(given, 3, 4) : undefined;
  const [reach = 0, sharp = 0] = unit.thr ?? [];
  const wantsLatent = /inpaint_only|colorfix|reference/.test(used.preprocessor);
  const control = unit.kind === 'ref' ? referenceControl : call.open(unit.kind, unit.pool ?? false);
  return wholeRun(control, {
    hint: mask ? maskedHint(colours, mask) : colours,
    weight: unit.weight,
    mode: used.mode,
    layerWeights: unit.adv,
    region: unit.region ? floats(inputs, 'region') : undefined,
    ...(wantsLatent
      ? {
          known: {
            colours,
            latent: await encoded(recorded.setFolder, colours),
            mask,
            preprocessor: used.preprocessor,
            thresholdA: reach,
            thresholdB: sharp,
          },
        }
      : {}),
  });
}

async function compareCalls(recorded: RecordedCase, compare: Comparisons): Promise<void> {
  const { folder, setFolder, row } = recorded;
  const inputs = readTensors(join(folder, 'inputs.safetensors'));
  const wanted = readTensors(join(folder, 'outputs.safetensors'));
  const topology = join(setFolder, '../networks/unet_sd_topology');
  await using model = unetModel(topology, memoryWeights(generateWeights(join(topology, 'weights.json')), topology));
  const opened = new Map<string, ControlModel>();
  const open: Calling['open'] = (kind, pool) => {
    const file = kind === 't2i' ? 't2i.json' : `controlnet${String(kind)}.json`;
    const key = `${file} ${pool}`;
    const path = join(folder, file);
    const known = opened.get(key) ?? openControlModel(model, memoryWeights(generateWeights(path), path), { pool });
    opened.set(key, known);
    return known;
  };
  const settings = settingsOf(recorded);
  const soft = settings['soft weights'];
  compare.exact(
    'soft weights',
    { controlnet: controlNetWeights('prompt', 1, 13), t2i: adapterWeights('prompt', 1, 4) },
    soft,
  );
  const variants: Record<string, Recorded[]> = {
    ...settings['variants {name: units}'],
    ...(wanted.has('hires.none') ? { 'hires.none': [] } : {}),
  };
  for (const [name, units] of Object.entries(variants)) {
    const isHires = units.some(({ hr }) => hr) || name.startsWith('hires');
    const controls: ControlInput[] = [];
    for (const unit of units) {
      const made = await controlOf({ recorded, model, open, inputs }, unit, isHires);
      if (made) controls.push(made);
    }
    const plan = await planControls(model, controls);
    const progress = { finished: 0, steps: 1 };
    await using denoiser = await controlledDenoiser(model, plan, {
      schedule,
      parameterization: 'eps',
      rule: 'a1111',
      progress,
      noise: () => floats(inputs, 'reference_noise'),
    });
    const marks: Record<string, Tensor> = controls.length > 0 ? { [halfInput]: float32([2], [1, 0]) } : {};
    const got = await denoiser.network({
      x: floats(inputs, isHires ? 'x_hires' : 'x'),
      timesteps: floats(inputs, 'timesteps'),
      context: floats(inputs, 'context'),
      ...marks,
    } as DenoiserInputs);
    compare.tensor(name, got, floats(wanted, name), (row['outputs'] as Recorded)[name].atol);
  }
  for (const each of opened.values()) await each.dispose();
}

const valuesOf = ({ folder }: RecordedCase): Recorded => JSON.parse(readFileSync(join(folder, 'values.json'), 'utf8'));
const numbersIn = (text: string): number[] => (text.match(/\d+(\.\d+)?/g) ?? []).map(Number);

function compareSteps(recorded: RecordedCase, compare: Comparisons): void {
  for (const [name, wanted] of Object.entries(valuesOf(recorded))) {
    const [steps = 0, start = 0, end = 0] = numbersIn(name);
    const acts = (finished: number): boolean => isInWindow('a1111', { start, end }, { finished, steps }, 1, schedule);
    compare.exact(name, Array.from({ length: steps }, (_, i) => i).filter(acts), wanted);
  }
}

const modes: readonly ResizeMode[] = ['stretch', 'crop', 'fill'];

function compareResolutions(recorded: RecordedCase, compare: Comparisons): void {
  for (const [name, wanted] of Object.entries<Recorded>(valuesOf(recorded))) {
    const [width = 0, height = 0, ...rest] = numbersIn(name);
    if (name.startsWith('picture')) {
      const [targetWidth = 0, targetHeight = 0, mode = 0] = rest;
      const target = { width: targetWidth, height: targetHeight };
      compare.exact(name, pixelPerfectResolution({ width, height }, target, modes[mode] ?? 'stretch'), wanted);
      continue;
    }
    // The sizes of the first and the second pass: a factor of the asked size, or sides.
    const [hiresWidth = 0, hiresHeight = 0, factor = 1] = rest;
    const second =
      hiresWidth > 0 ? [hiresHeight, hiresWidth] : [Math.trunc(height * factor), Math.trunc(width * factor)];
    compare.exact(name, [height, width, ...second].map(wholeLatents), wanted);
  }
}

function compareMaps(recorded: RecordedCase, compare: Comparisons): void {
  const inputs = readTensors(join(recorded.folder, 'inputs.safetensors'));
  for (const [name, wanted] of readTensors(join(recorded.folder, 'outputs.safetensors'))) {
    const [picture = '', mode = '0', size = ''] = name.split('.');
    const [width = 0, height = 0] = size.split('x').map(Number);
    const { shape, data } = pick(inputs, picture);
    const [h = 1, w = 1, depth = 1] = shape;
    const bytes = data as Uint8Array;
    const resize = modes[Number(mode)] ?? 'stretch';
    if (depth === 4) {
      const got = fitMaskedMap(floatImage(w, h, 4, Float32Array.from(bytes)), { width, height }, resize);
      compare.tensor(
        name,
        float32([height, width, 4], got.data),
        wanted,
        (recorded.row['outputs'] as Recorded)[name].atol,
      );
      continue;
    }
    const rgb =
      depth === 3 ? bytes : Uint8Array.from({ length: 3 * bytes.length }, (_, i) => bytes[Math.floor(i / 3)] as number);
    const got = fitMap(createImage(w, h, 3, Uint8Array.from(rgb)), { width, height }, resize);
    compare.tensor(name, tensor('uint8', [height, width, 3], got.data), wanted, 0);
  }
}

/** A picture or a mask of a case. */
function imageIn(inputs: Tensors, name: string): Image {
  const { shape, data } = pick(inputs, name);
  const [height = 1, width = 1, channels = 1] = shape;
  return createImage(width, height, channels as 1 | 3, Uint8Array.from(data as Uint8Array));
}

/** The size at which a preprocessor works, with its padding and without. */
function compareWorkingSizes(recorded: RecordedCase, compare: Comparisons): void {
  const image = imageIn(readTensors(join(recorded.folder, 'inputs.safetensors')), 'image');
  for (const [name, wanted] of readTensors(join(recorded.folder, 'outputs.safetensors'))) {
    const [kind, resolution = ''] = name.split('.');
    const { padded, cut } = atResolution(image, Number(resolution));
    const { width, height, data } = kind === 'padded' ? padded : cut(padded);
    compare.tensor(name, tensor('uint8', [height, width, 3], data), wanted, 0);
  }
}

/** `inpaint_only`: the mask of A1111's page, and the blend of the result with the given picture. */
function compareKept(recorded: RecordedCase, compare: Comparisons): void {
  const inputs = readTensors(join(recorded.folder, 'inputs.safetensors'));
  const mask = imageIn(inputs, 'mask');
  const shares = (image: Image): Tensor<'float32'> => {
    const size = image.width * image.height;
    const data = new Float32Array(size * image.channels);
    for (const [i, value] of image.data.entries())
      data[(i % image.channels) * size + Math.floor(i / image.channels)] = value / 255;
    return float32([1, image.channels, image.height, image.width], data);
  };
  for (const [name, wanted] of readTensors(join(recorded.folder, 'outputs.safetensors'))) {
    const [what = '', setting = '', direction = ''] = name.split('.');
    const reach = Number(setting.replace(/\D/g, ''));
    const atol = (recorded.row['outputs'] as Recorded)[name].atol ?? 0;
    if (what === 'prepared') {
      const inpaint = { blurX: reach, blurY: reach, fill: 'original' as const, invert: direction === 'inverted' };
      const { width, height, data } = preparedMask(mask, mask, { inpaint });
      compare.tensor(name, tensor('uint8', [height, width], data), wanted, 0);
      continue;
    }
    const share = resultShare(shares(mask), reach);
    const result = floats(inputs, 'result');
    const pictures = float32([1, ...result.shape], result.data);
    const made = what === 'blend_mask' ? share : blendKnown(pictures, shares(imageIn(inputs, 'image')), share);
    compare.tensor(name, float32(wanted.shape, made.data), wanted, atol);
  }
}

const kinds: readonly (readonly [RegExp, (recorded: RecordedCase, compare: Comparisons) => void | Promise<void>])[] = [
  [/UnetHook, /, compareCalls],
  [/guidance_schedule_handler/, compareSteps],
  [/pixel_perfect_resolution/, compareResolutions],
  [/detectmap_proc/, compareMaps],
  [/resize_image_with_pad/, compareWorkingSizes],
  [/inpaint_only_post_processing/, compareKept],
];

export const reader: Reader = {
  set: 'control',
  reads: (row, part) => part === 'webui' && kinds.some(([original]) => original.test(originalOf(row))),
  compare: collecting(async (recorded, compare) => {
    await kinds.find(([original]) => original.test(originalOf(recorded.row)))?.[1](recorded, compare);
  }),
};
