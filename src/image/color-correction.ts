/**
 * A1111's colour correction of image to image (modules/processing.py `setup_color_correction`, `apply_color_correction`, v1.10.1): the result
 * takes over the histogram of the initial picture in CIE L*a*b*, and keeps its own luminance.
 */

import { createImage, type Image } from './image.ts';
import { channelOf, matchHistogram } from './match-histograms.ts';
import { labToRgb, rgbToLab } from './opencv/lab.ts';

const luminance = (r: number, g: number, b: number): number => r * 0.299 + g * 0.587 + b * 0.114;

/** The picture with another luminance at each pixel (W3C compositing's `SetLum`, as the package blendmodes has it). */
function withLuminance({ width, height, data }: Image<3>, from: Image<3>): Image<3> {
  const out = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i += 3) {
    const at = (image: Uint8Array): [number, number, number] => [
      (image[i] as number) / 255,
      (image[i + 1] as number) / 255,
      (image[i + 2] as number) / 255,
    ];
    const colour = at(data);
    const delta = luminance(...at(from.data)) - luminance(...colour);
    const moved = colour.map((value) => value + delta) as [number, number, number];
    const light = luminance(...moved);
    const [least, most] = [Math.min(...moved), Math.max(...moved)];
    for (const [c, value] of moved.entries()) {
      let kept = value;
      if (least < 0) kept = light + ((kept - light) * light) / (light - least);
      if (most > 1) kept = light + ((kept - light) * (1 - light)) / (most - light);
      out[i + c] = roundHalfEven(255 * kept);
    }
  }
  return createImage(width, height, 3, out);
}

/** numpy's `around`, within a byte. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const up = value - floor > 0.5 || (value - floor === 0.5 && floor % 2 === 1);
  return Math.max(0, Math.min(255, up ? floor + 1 : floor));
}

/** `made` with the colours of `initial`, which may have another size. */
export function correctColors(made: Image<3>, initial: Image<3>): Image<3> {
  const [lab, wanted] = [rgbToLab(made), rgbToLab(initial)];
  const data = new Uint8Array(lab.data.length);
  for (let c = 0; c < 3; c++) {
    const matched = matchHistogram(channelOf(lab.data, c), channelOf(wanted.data, c));
    for (let i = 0; i < matched.length; i++) data[3 * i + c] = Math.trunc(matched[i] as number);
  }
  return withLuminance(labToRgb(createImage(made.width, made.height, 3, data)), made);
}
