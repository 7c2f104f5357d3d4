/** The preprocessors that need no weights. A new one is a row here. */

import type { Image } from '../image/image.ts';
import { blurBytes } from '../image/opencv/gaussian-blur.ts';
import {
  binary,
  canny,
  invert,
  lineartStandard,
  recolourIntensity,
  recolourLuminance,
  scribbleXdog,
  threshold,
} from './line-drawing.ts';
import type { PlainPreprocessor, PreprocessSettings, PreprocessorSetting } from './preprocessor.ts';
import { colourGrid, shuffle, tileResample } from './rearranging.ts';
import { atResolution, overWhite } from './working-size.ts';

/** A number that a preprocessor takes. */
export function setting(title: string, min: number, max: number, standard: number, step = 1): PreprocessorSetting {
  return { title, min, max, step, default: standard };
}

type Draw = (image: Image<3>, settings: PreprocessSettings) => Image;

/** A map drawn at the resolution, with padding to multiples of 64 that is cut off again. */
const padded =
  (draw: Draw): PlainPreprocessor['run'] =>
  (image, settings) => {
    const { padded: whole, cut } = atResolution(image, settings.resolution);
    return cut(draw(whole, settings));
  };

/** The same without padding. */
const atSize =
  (draw: Draw): PlainPreprocessor['run'] =>
  (image, settings) => {
    const { padded: whole, cut } = atResolution(image, settings.resolution);
    return draw(cut(whole), settings);
  };

/** At the picture's own size. */
const unsized =
  (draw: Draw): PlainPreprocessor['run'] =>
  (image, settings) =>
    draw(overWhite(image), settings);

const gamma = setting('Gamma Correction', 0.1, 2, 1, 0.001);

export const plainPreprocessors: readonly PlainPreprocessor[] = [
  { name: 'none', title: 'none', types: [], usesResolution: false, run: (image) => overWhite(image) },
  {
    name: 'canny',
    title: 'canny',
    types: ['Canny'],
    usesResolution: true,
    a: setting('Canny Low Threshold', 1, 255, 100),
    b: setting('Canny High Threshold', 1, 255, 200),
    run: padded((image, { a, b }) => canny(image, a, b)),
  },
  {
    name: 'invert',
    title: 'invert (from white bg & black line)',
    types: ['Canny', 'Lineart', 'Scribble', 'MLSD', 'SoftEdge'],
    usesResolution: false,
    run: unsized(invert),
  },
  {
    name: 'threshold',
    title: 'threshold',
    types: [],
    usesResolution: true,
    a: setting('Binarization Threshold', 0, 255, 127),
    run: padded((image, { a }) => threshold(image, a)),
  },
  {
    name: 'binary',
    title: 'binary',
    types: [],
    usesResolution: true,
    a: setting('Binarization Threshold (0 and 255: Otsu)', 0, 255, 0),
    run: padded((image, { a }) => binary(image, a)),
  },
  {
    name: 'scribble_xdog',
    title: 'scribble_xdog',
    types: ['Scribble'],
    usesResolution: true,
    a: setting('XDoG Threshold', 1, 64, 32),
    run: padded((image, { a }) => scribbleXdog(image, a)),
  },
  {
    name: 'lineart_standard',
    title: 'lineart_standard (from white bg & black line)',
    types: ['Lineart'],
    usesResolution: true,
    run: padded(lineartStandard),
  },
  {
    name: 'shuffle',
    title: 'shuffle',
    types: ['Shuffle'],
    usesResolution: false,
    run: unsized((image, { seed }) => shuffle(image, seed).image),
  },
  {
    name: 'tile_resample',
    title: 'tile_resample',
    types: ['Tile'],
    usesResolution: false,
    a: setting('Down Sampling Rate', 1, 8, 1, 0.01),
    run: unsized((image, { a }) => tileResample(image, a)),
  },
  {
    name: 'blur_gaussian',
    title: 'blur_gaussian',
    types: ['Tile'],
    usesResolution: true,
    a: setting('Sigma', 0.01, 64, 9, 0.01),
    run: atSize((image, { a }) => blurBytes(image, a)),
  },
  {
    name: 'color',
    title: 't2ia_color_grid',
    types: ['T2I-Adapter'],
    usesResolution: true,
    run: unsized((image, { resolution }) => colourGrid(image, resolution)),
  },
  {
    name: 'recolor_luminance',
    title: 'recolor_luminance',
    types: ['Recolor'],
    usesResolution: false,
    a: gamma,
    run: unsized((image, { a }) => recolourLuminance(image, a)),
  },
  {
    name: 'recolor_intensity',
    title: 'recolor_intensity',
    types: ['Recolor'],
    usesResolution: false,
    a: gamma,
    run: unsized((image, { a }) => recolourIntensity(image, a)),
  },
];
