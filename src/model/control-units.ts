/** Controls of a run: from opened control models and their tensors to units for the denoiser, and to what the denoiser must be extended by. */

import { controlKindName } from '../checkpoints/control-file.ts';
import type { ControlNetConfig, T2IAdapterConfig, UNetConfig } from '../config/network-config.ts';
import { adapterUnit } from '../diffusion/control/adapter-unit.ts';
import { controlNetUnit } from '../diffusion/control/control-net-unit.ts';
import type { ControlUnit } from '../diffusion/control/control-unit.ts';
import type { ControlWindow } from '../diffusion/control/control-window.ts';
import { colourFixUnit, keepKnownUnit } from '../diffusion/control/keep-known.ts';
import { imagePromptUnit } from '../diffusion/control/image-prompt-unit.ts';
import type { ControlMode } from '../diffusion/control/layer-weights.ts';
import { type GroundedObjects, groundingUnit } from '../diffusion/control/grounding-unit.ts';
import { isReferenceMode, referenceModes, styleFidelity } from '../diffusion/control/reference-modes.ts';
import { type ReferencePicture, referenceUnit, usedSites } from '../diffusion/control/reference-unit.ts';
import { styleUnit } from '../diffusion/control/style-unit.ts';
import { StableDiffusionError } from '../errors.ts';
import { adapterExtension } from '../extensions/adapter.ts';
import { control } from '../extensions/control.ts';
import { grounding } from '../extensions/grounding.ts';
import { imagePrompts } from '../extensions/image-prompt.ts';
import { isXl, reference, sharingSites } from '../extensions/reference.ts';
import { expectDType, type Tensor, tensor } from '../tensor/tensor.ts';
import type { ControlModel, ImageTokens } from './control-model.ts';
import { type DenoiserAdditions, type DenoisingModel, unetOf } from './extended-denoiser.ts';

/** A picture that the result is held to. */
export interface KnownPicture {
  /** Scaled latent, float32 [1, channels, h, w]. */
  readonly latent: Tensor<'float32'>;
  /** float32 [1, 3, H, W] in [0, 1]. */
  readonly colours: Tensor<'float32'>;
  /** float32 [1, 1, H, W] in [0, 1]: 1 is painted. */
  readonly mask?: Tensor<'float32'> | undefined;
  /** Name of the preprocessor, or the reference mode, and its settings. */
  readonly preprocessor: string;
  readonly thresholdA?: number | undefined;
  readonly thresholdB?: number | undefined;
}

/** One control with its tensors. */
export interface ControlInput {
  readonly control: ControlModel;
  readonly weight: number;
  readonly mode: ControlMode;
  readonly window: ControlWindow;
  /** ControlNet and T2I-Adapter: float32 [1, 3, H, W] in [0, 1], -1 where an inpainting network paints. */
  readonly hint?: Tensor<'float32'> | undefined;
  /** Style adapter: the last hidden state of the image encoder, float32 [1, tokens, width]. */
  readonly hiddenStates?: Tensor<'float32'> | undefined;
  /** IP-Adapter. */
  readonly tokens?: ImageTokens | undefined;
  /** GLIGEN. */
  readonly objects?: GroundedObjects | undefined;
  /** float32 [1, 1, H, W] in [0, 1]: where it acts. */
  readonly region?: Tensor<'float32'> | undefined;
  /** Factors of each output instead of weight and mode. */
  readonly layerWeights?: readonly number[] | undefined;
  /** The given picture, where the denoiser's guess is held to it: `inpaint_only` and `tile_colorfix` of A1111's extension. */
  readonly known?: KnownPicture | undefined;
  /** Style adapter: what the negative prompt gets in place of its tokens. Default `zeros`. */
  readonly styleNegative?: 'repeat' | 'zeros' | undefined;
}

export interface ControlPlan {
  readonly units: readonly ControlUnit[];
  readonly additions: DenoiserAdditions;
}

function missing({ control: { label, config } }: ControlInput, what: string): never {
  throw new StableDiffusionError('invalid-argument', `${label}: this ${controlKindName(config)} needs ${what}.`);
}

/** The first channels of a picture that an adapter takes: one for sketches and edges. */
function channelsOf(image: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const [n = 1, channels = 1, h = 1, w = 1] = image.shape;
  if (channels === count) return image;
  const size = h * w;
  const data = new Float32Array(n * count * size);
  for (let i = 0; i < n; i++)
    for (let c = 0; c < count; c++) {
      const from = (i * channels + Math.min(c, channels - 1)) * size;
      data.set(image.data.subarray(from, from + size), (i * count + c) * size);
    }
  return tensor('float32', [n, count, h, w], data);
}

async function adapterOf(given: ControlInput, config: T2IAdapterConfig, signal?: AbortSignal): Promise<ControlUnit> {
  const { control: model, hint = missing(given, 'a picture'), weight, mode, window, layerWeights } = given;
  const features = await model.run({ image: channelsOf(hint, config.in_channels) }, signal);
  return adapterUnit({ features, weight, mode, window, layerWeights });
}

async function styleOf(given: ControlInput, signal?: AbortSignal): Promise<ControlUnit> {
  const { control: model, hiddenStates = missing(given, 'a picture'), weight, window } = given;
  const { style_tokens } = await model.run({ hidden_states: hiddenStates }, signal);
  const tokens = expectDType(style_tokens as Tensor, 'float32', 'style_tokens');
  return styleUnit({ tokens, weight, window, negative: given.styleNegative ?? 'zeros' });
}

/** The unit that holds the result to a picture, by the preprocessor's name. */
function knownOf({ known, weight, window }: ControlInput): ControlUnit[] {
  if (!known) return [];
  const { latent, mask, preprocessor, thresholdA = 8, thresholdB = 32 } = known;
  if (preprocessor.includes('inpaint_only')) return mask ? [keepKnownUnit({ latent, mask, weight, window })] : [];
  const sharpness = preprocessor.includes('+sharp') ? thresholdB / 100 : undefined;
  return [colourFixUnit({ latent, reach: Math.trunc(thresholdA), sharpness, weight, window })];
}

function controlNetOf(given: ControlInput, { unet }: ControlNetConfig): ControlUnit {
  const { control: model, hint = missing(given, 'a picture'), weight, mode, window, region, layerWeights } = given;
  return controlNetUnit({
    run: (inputs, signal) => model.run(inputs, signal),
    channels: unet.in_channels,
    hint,
    weight,
    mode,
    window,
    pool: model.pool,
    layerWeights,
    region,
  });
}

/** A reference picture; its weight and mode as there. Throws `invalid-argument` without a picture. */
function referenceOf(given: ControlInput, config: UNetConfig): ReferencePicture {
  const { weight, mode, window, known = missing(given, 'a picture') } = given;
  const { latent, preprocessor, thresholdA = 0.5 } = known;
  if (!isReferenceMode(preprocessor)) return missing(given, `one of the preprocessors ${referenceModes.join(', ')}`);
  if (given.region ?? given.layerWeights) return missing(given, 'no region and no factors of layers');
  if (!config.use_spatial_transformer) return missing(given, 'a model whose UNet has transformer blocks');
  return { latent, mode: preprocessor, weight, fidelity: styleFidelity(mode, thresholdA, isXl(config)), window };
}

/** All reference pictures as one unit, and the extension that they share. */
function referencePlan(pictures: readonly ReferencePicture[], config: UNetConfig): ControlPlan {
  if (pictures.length === 0) return { units: [], additions: { extensions: [] } };
  const sites = usedSites(sharingSites(config), pictures);
  return {
    units: [referenceUnit(pictures, sites)],
    additions: { extensions: [reference(sites)] },
  };
}

/** Runs once what does not change over a run. Throws `invalid-argument` where a control lacks its picture. */
export async function planControls(
  model: DenoisingModel,
  given: readonly ControlInput[],
  signal?: AbortSignal,
): Promise<ControlPlan> {
  const units: ControlUnit[] = [];
  const attention: ControlModel[] = [];
  const kinds = new Set(given.map(({ control: { config } }) => config.kind));
  const { config: unet } = unetOf(model);
  const levels = unet.channel_mult.length;
  const pictures: ReferencePicture[] = [];
  for (const one of given) {
    const { config } = one.control;
    switch (config.kind) {
      case 'controlnet':
        units.push(controlNetOf(one, config), ...knownOf(one));
        break;
      case 't2i_adapter':
        units.push(await adapterOf(one, config, signal));
        break;
      case 't2i_style':
        units.push(await styleOf(one, signal));
        break;
      case 'reference':
        pictures.push(referenceOf(one, unet));
        break;
      case 'gligen': {
        const { objects = missing(one, 'objects'), weight, window } = one;
        units.push(groundingUnit(objects, weight, window));
        break;
      }
      case 'ip_adapter': {
        const { tokens = missing(one, 'a picture'), weight, window, region } = one;
        units.push(
          imagePromptUnit({ index: attention.length, ...tokens, scale: weight, window, levels, mask: region }),
        );
        attention.push(one.control);
      }
    }
  }
  // Adapters of one UNet enter it at the same places.
  const adapters = given
    .flatMap(({ control: { config } }) => (config.kind === 't2i_adapter' ? [adapterExtension(config)] : []))
    .slice(0, 1);
  const referenced = referencePlan(pictures, unet);
  return {
    units: [...units, ...referenced.units],
    additions: {
      extensions: [
        ...referenced.additions.extensions,
        ...(kinds.has('controlnet') ? [control] : []),
        ...adapters,
        ...(attention.length > 0 ? [imagePrompts(attention.length)] : []),
        ...(kinds.has('gligen') ? [grounding] : []),
      ],
      weights: [
        ...attention,
        ...given.flatMap(({ control: one }) => (one.config.kind === 'gligen' ? [one] : [])),
      ].flatMap((one, index) => one.attention?.(index) ?? []),
    },
  };
}
