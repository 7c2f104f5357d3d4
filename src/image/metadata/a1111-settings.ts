/** The settings line of A1111's infotext, in its order (modules/processing.py `create_infotext`, v1.10.1). */

import { formatInfotext, type InfotextValue, pythonFloat } from './infotext.ts';

/** One value for all images, or one per image of the job. */
export type PerImage = InfotextValue | readonly InfotextValue[];

export interface A1111Settings {
  readonly prompt: string;
  readonly negativePrompt?: string;
  readonly steps: number;
  /** A1111's name: "Euler a", "DPM++ 2M". */
  readonly sampler: string;
  /** "Automatic", "Karras", … */
  readonly scheduler?: string;
  /** Written as a float: 7 is "7.0". */
  readonly cfgScale: number;
  readonly imageCfgScale?: number;
  readonly seed: number | bigint | string;
  /** Name of the face restoration model, where one was used. */
  readonly faceRestoration?: string;
  readonly width: number;
  readonly height: number;
  readonly modelHash?: string | null;
  readonly model?: string | null;
  readonly vaeHash?: string | null;
  readonly vae?: string | null;
  readonly variationSeed?: number | bigint | string | undefined;
  /** 0 (default): no variation, and neither is written. */
  readonly variationStrength?: number;
  /** Written where both sides are positive. */
  readonly seedResizeFrom?: { readonly width: number; readonly height: number };
  readonly conditionalMaskWeight?: number;
  /** Written from 2 on. */
  readonly clipSkip?: number;
  /** Eta noise seed delta; written where not 0. Give it only for samplers that use it. */
  readonly ensd?: number;
  readonly tokenMergingRatio?: number;
  readonly tokenMergingRatioHr?: number;
  readonly initImageHash?: string;
  /** "GPU" (default, not written), "CPU" or "NV". */
  readonly rng?: string;
  readonly tiling?: boolean;
  /** Settings that scripts and modes add, such as `Denoising strength` and `Hires upscale`; a list has one value per image. */
  readonly extra?: Readonly<Record<string, PerImage>>;
  /** Index of the image in its job, for lists in `extra`. Default 0. */
  readonly index?: number;
  /** The program's version: A1111 writes its git tag. */
  readonly version?: string;
  readonly user?: string;
}

/** A float if it has a fraction, else as A1111 has it in that place. */
const ratio = (value: number | undefined): InfotextValue =>
  value === undefined || value === 0 ? null : pythonFloat(value);

/** The infotext of one image. */
export function a1111Infotext(settings: A1111Settings): string {
  const { extra = {}, index = 0, seedResizeFrom, variationStrength = 0 } = settings;
  const own = (value: PerImage | undefined): InfotextValue =>
    Array.isArray(value)
      ? ((value as readonly InfotextValue[])[index] ?? null)
      : ((value as InfotextValue | undefined) ?? null);
  const resized = seedResizeFrom !== undefined && seedResizeFrom.width > 0 && seedResizeFrom.height > 0;
  const written = new Map<string, InfotextValue>([
    ['Steps', settings.steps],
    ['Sampler', settings.sampler],
    ['Schedule type', settings.scheduler ?? null],
    ['CFG scale', pythonFloat(settings.cfgScale)],
    ['Image CFG scale', settings.imageCfgScale === undefined ? null : pythonFloat(settings.imageCfgScale)],
    ['Seed', String(settings.seed)],
    ['Face restoration', settings.faceRestoration ?? null],
    ['Size', `${settings.width}x${settings.height}`],
    ['Model hash', settings.modelHash ?? null],
    ['Model', settings.model ?? null],
    ['VAE hash', settings.vaeHash ?? null],
    ['VAE', settings.vae ?? null],
    [
      'Variation seed',
      variationStrength === 0 || settings.variationSeed === undefined ? null : String(settings.variationSeed),
    ],
    ['Variation seed strength', variationStrength === 0 ? null : pythonFloat(variationStrength)],
    ['Seed resize from', resized ? `${seedResizeFrom.width}x${seedResizeFrom.height}` : null],
    ['Denoising strength', own(extra['Denoising strength'])],
    [
      'Conditional mask weight',
      settings.conditionalMaskWeight === undefined ? null : pythonFloat(settings.conditionalMaskWeight),
    ],
    ['Clip skip', (settings.clipSkip ?? 1) > 1 ? (settings.clipSkip ?? null) : null],
    ['ENSD', settings.ensd || null],
    ['Token merging ratio', ratio(settings.tokenMergingRatio)],
    ['Token merging ratio hr', ratio(settings.tokenMergingRatioHr)],
    ['Init image hash', settings.initImageHash ?? null],
    ['RNG', settings.rng === undefined || settings.rng === 'GPU' ? null : settings.rng],
    ['Tiling', settings.tiling ? 'True' : null],
  ]);
  for (const [key, value] of Object.entries(extra)) written.set(key, own(value));
  written.set('Version', settings.version ?? null).set('User', settings.user ?? null);
  return formatInfotext({
    prompt: settings.prompt,
    ...(settings.negativePrompt ? { negativePrompt: settings.negativePrompt } : {}),
    settings: written,
  });
}
