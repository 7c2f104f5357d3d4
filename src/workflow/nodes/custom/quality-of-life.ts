/** Nodes of ComfyUI-QualityOfLifeSuit_Omar92: texts, numbers, and sizes by a factor. */

import { defineNode, type NodeType } from '../../definition.ts';
import type { Float32 } from '../../grids.ts';
import { upscale, upscaleImage } from '../../upscale.ts';
import type { LatentValue } from '../../values.ts';
import { enlargedBytes as enlargedImageBytes } from '../images.ts';
import { enlargedBytes } from '../latents.ts';

const module = 'custom_nodes.ComfyUI-QualityOfLifeSuit_Omar92';
const methods = ['nearest-exact', 'bilinear', 'area'] as const;
const crops = ['disabled', 'center'] as const;
const toggle = ['enabled', 'disabled'] as const;
const factor = ['FLOAT', { default: 1.25, min: 0, max: 10, step: 0.28125 }] as const;
const mostPixels = 8192;

/** A side times a factor, where wanted at the nearest multiple of 8. */
function sideOf(side: number, by: number, isWhole: boolean): number {
  const given = Math.min(mostPixels, side * by);
  if (!isWhole) return Math.trunc(given);
  const rest = given % 8;
  return Math.trunc(rest < 4 ? given - rest : given + 8 - rest);
}

/** Of a latent, whose size is cut to a whole number first. */
const latentSide = (side: number, by: number): number => sideOf(Math.trunc(side * by), 1, true);

interface Factors {
  readonly method: string;
  readonly crop: string;
  readonly across: number;
  readonly down: number;
}

function enlargedSize({ samples }: LatentValue, across: number, down: number): { width: number; height: number } {
  const [, , height = 1, width = 1] = samples.shape;
  return { width: latentSide(width, across), height: latentSide(height, down) };
}

const enlarged = (latent: LatentValue, { method, crop, across, down }: Factors): LatentValue => ({
  ...latent,
  samples: upscale(latent.samples, { ...enlargedSize(latent, across, down), method, crop }),
});

const latentUpscaleFactorNode = defineNode({
  name: 'LatentUpscaleFactor _O',
  displayName: 'LatentUpscaleFactor _O',
  category: 'O/latent',
  module,
  required: {
    samples: ['LATENT'],
    upscale_method: [methods],
    WidthFactor: factor,
    HeightFactor: factor,
    crop: [crops],
  },
  outputs: ['LATENT'],
  makes: ({ samples, WidthFactor, HeightFactor }) =>
    enlargedBytes(samples, enlargedSize(samples, WidthFactor, HeightFactor)),
  run: ({ samples, upscale_method: method, WidthFactor: across, HeightFactor: down, crop }) => [
    enlarged(samples, { method, crop, across, down }),
  ],
});

const latentUpscaleFactorSimpleNode = defineNode({
  name: 'LatentUpscaleFactorSimple _O',
  displayName: 'LatentUpscaleFactorSimple _O',
  category: 'O/latent',
  module,
  required: { samples: ['LATENT'], upscale_method: [methods], factor, crop: [crops] },
  outputs: ['LATENT'],
  makes: ({ samples, factor: by }) => enlargedBytes(samples, enlargedSize(samples, by, by)),
  run: ({ samples, upscale_method: method, factor: by, crop }) => [
    enlarged(samples, { method, crop, across: by, down: by }),
  ],
});

function scaledSize(
  { shape: [, height = 1, width = 1] }: Float32,
  {
    WidthFactor,
    HeightFactor,
    MulOf46,
  }: Readonly<Record<'WidthFactor' | 'HeightFactor', number>> & { MulOf46: string },
): { width: number; height: number } {
  const isWhole = MulOf46 === 'enabled';
  return { width: sideOf(width, WidthFactor, isWhole), height: sideOf(height, HeightFactor, isWhole) };
}

const imageScaleFactorNode = defineNode({
  name: 'ImageScaleFactor _O',
  displayName: 'ImageScaleFactor _O',
  category: 'O/image',
  module,
  required: {
    image: ['IMAGE'],
    upscale_method: [methods],
    WidthFactor: factor,
    HeightFactor: factor,
    MulOf46: [toggle, { default: 'enabled' }],
    crop: [crops],
  },
  outputs: ['IMAGE'],
  makes: ({ image, ...factors }) => enlargedImageBytes(image, scaledSize(image, factors)),
  run: ({ image, upscale_method: method, crop, ...factors }) => [
    upscaleImage(image, { ...scaledSize(image, factors), method, crop }),
  ],
});

const utils = { category: 'O/utils', module } as const;

const textNode = defineNode({
  ...utils,
  name: 'Text _O',
  displayName: 'Text _O',
  required: { text: ['STRING', { multiline: true }] },
  outputs: ['STRING'],
  run: ({ text }) => [`${text} `],
});

const seedNode = defineNode({
  ...utils,
  name: 'seed _O',
  displayName: 'seed _O',
  required: { seed: ['INT', { default: 0, min: 0, max: 18446744073709551615n }] },
  outputs: ['INT'],
  run: ({ seed }) => [seed],
});

const intNode = defineNode({
  ...utils,
  name: 'int _O',
  displayName: 'int _O',
  required: { int: ['INT', { default: 0, min: 0, max: 18446744073709551615n }] },
  outputs: ['INT'],
  run: ({ int }) => [int],
});

const floatNode = defineNode({
  ...utils,
  name: 'float _O',
  displayName: 'float _O',
  required: { float: ['FLOAT', { default: 0, min: 0, max: 18446744073709551615n }] },
  outputs: ['FLOAT'],
  run: ({ float }) => [float],
});

const noteNode = defineNode({
  ...utils,
  name: 'Note _O',
  displayName: 'Note _O',
  required: { text: ['STRING', { multiline: true }] },
  outputs: [],
  outputNode: true,
  run: () => [],
});

export const qualityOfLifeNodes: readonly NodeType[] = [
  latentUpscaleFactorNode,
  latentUpscaleFactorSimpleNode,
  imageScaleFactorNode,
  textNode,
  seedNode,
  intNode,
  floatNode,
  noteNode,
];
