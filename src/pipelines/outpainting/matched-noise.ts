/**
 * Noise in the style of a picture, for what outpainting adds: its spectrum is shaped by that of the picture, and its histogram is the picture's
 * (parlance-zz's g-diffuser-bot; A1111's scripts/outpainting_mk_2.py `get_matched_noise`, v1.10.1). The random numbers are always those of seed 0.
 */

import { pcg64 } from '../../random/pcg64.ts';
import { centredTransform, type Complex, complex } from '../../tensor/fft.ts';
import { createImage, type Image } from '../../image/image.ts';
import { channelOf, matchHistogram } from '../../image/match-histograms.ts';

export interface MatchedNoiseSettings {
  /** Exponent of the picture's spectrum: lower shows more detail. Default 1. */
  readonly fallOff?: number | undefined;
  /** Share of colour in the noise, 0 to 1. Default 0.05. */
  readonly colorVariation?: number | undefined;
}

/** A window of each frequency, highest in the middle. */
function frequencyWindow(rows: number, columns: number): Float64Array {
  const short = Math.min(rows, columns);
  const squares = (n: number): Float64Array =>
    Float64Array.from({ length: n }, (_, i) => (((i / n) * 2 - 1) * (n / short)) ** 2);
  const [ys, xs] = [squares(rows), squares(columns)];
  const window = new Float64Array(rows * columns);
  for (let y = 0, i = 0; y < rows; y++)
    for (let x = 0; x < columns; x++, i++) window[i] = 1 / (((ys[y] as number) + 1) * ((xs[x] as number) + 1));
  return window;
}

/** Uniform noise, three channels interleaved, mostly grey. */
function greyishNoise(pixels: number, colorVariation: number): Float64Array {
  const next = pcg64(0);
  const noise = Float64Array.from({ length: 3 * pixels }, next);
  for (let i = 0; i < noise.length; i += 3) {
    const grey = ((noise[i] as number) + (noise[i + 1] as number) + (noise[i + 2] as number)) / 3;
    for (let c = i; c < i + 3; c++) noise[c] = (noise[c] as number) * colorVariation + (1 - colorVariation) * grey;
  }
  return noise;
}

/** The noise's spectrum, squared, with the picture's size and phase of every frequency. */
function shapedBy(picture: Complex, noise: Complex, window: Float64Array, fallOff: number): Complex {
  const out = complex(window.length);
  for (let i = 0; i < window.length; i++) {
    const [re, im] = [picture.re[i] as number, picture.im[i] as number];
    const size = Math.hypot(re, im);
    // A frequency that the picture lacks has no phase.
    if (size === 0) continue;
    const power = (Math.hypot(noise.re[i] as number, noise.im[i] as number) * (window[i] as number)) ** 2;
    out.re[i] = (power * size ** fallOff * re) / size;
    out.im[i] = (power * size ** fallOff * im) / size;
  }
  return out;
}

/** The picture in [0, 1] with its masked part in its mean colour, brightened to its full range. */
function windowed(source: Float64Array, mask: Float64Array): Float64Array {
  const kept = source.map((value, i) => value * (1 - (mask[Math.floor(i / 3)] as number)));
  const most = kept.reduce((a, b) => Math.max(a, b), 0) || 1;
  const mean = source.reduce((a, b) => a + b, 0) / source.length;
  return kept.map((value, i) => value / most + mean * (mask[Math.floor(i / 3)] as number));
}

/** Moves and scales values to [0, 1], in place. */
function stretch(values: Float64Array): void {
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const range = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) - least || 1;
  for (let i = 0; i < values.length; i++) values[i] = ((values[i] as number) - least) / range;
}

/** The picture with noise of its own kind where the mask is white, mixed where it is grey. */
export function matchedNoise(
  { width, height, data }: Image<3>,
  mask: Image<1>,
  { fallOff = 1, colorVariation = 0.05 }: MatchedNoiseSettings = {},
): Image<3> {
  const source = Float64Array.from(data, (value) => value / 255);
  const share = Float64Array.from(mask.data, (value) => value / 255);
  const seen = windowed(source, share);
  const noise = greyishNoise(width * height, colorVariation);
  const window = frequencyWindow(height, width);
  const empty = new Float64Array(width * height);
  const shaped = new Float64Array(source.length);
  for (let c = 0; c < 3; c++) {
    const spectrum = (values: Float64Array): Complex =>
      centredTransform({ re: channelOf(values, c), im: empty }, height, width);
    const { re } = centredTransform(shapedBy(spectrum(seen), spectrum(noise), window, fallOff), height, width, true);
    for (let i = 0; i < re.length; i++) shaped[3 * i + c] = re[i] as number;
  }
  stretch(shaped);
  for (let c = 0; c < 3; c++) {
    const values = channelOf(shaped, c);
    const colours = channelOf(source, c).filter((_, i) => (share[i] as number) < 1e-3);
    const matched = matchHistogram(
      values.filter((_, i) => (share[i] as number) > 1e-6),
      colours,
    );
    for (let i = 0, at = 0; i < share.length; i++)
      if ((share[i] as number) > 1e-6) shaped[3 * i + c] = matched[at++] as number;
  }
  const out = source.map((value, i) => {
    const m = share[Math.floor(i / 3)] as number;
    return Math.max(0, Math.min(1, value * (1 - m) + (shaped[i] as number) * m));
  });
  return createImage(
    width,
    height,
    3,
    Uint8Array.from(out, (value) => Math.trunc(255 * value)),
  );
}
