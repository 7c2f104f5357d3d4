/** What a picture shows, in the colours of ADE20K's classes (sd-webui-controlnet's annotator/uniformer, with mmsegmentation's test pipeline). */

import { createImage, type Image } from '../image/image.ts';
import { resizeBytes } from '../image/opencv/resize-bytes.ts';
import type { Annotator } from '../models/annotators/annotator.ts';
import { resizeBilinear } from '../tensor/resize-bilinear.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** Colours of the 150 classes, six digits each (`ade_palette` of mmsegmentation). */
const palette = [
  '787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff06528fff8cccff04',
  'ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0ffb8060aff47ff290a07ffff',
  'e0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe000',
  '99ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff00',
  '0052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc2',
  '00ff52000aff0070ff3300ff00c2ff007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ff',
  'ff001f00b8ff00d6ffff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ff',
  'ff007afff5000abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff',
  'b8ff000085ffffd60019c2c266ff005c00ff',
].join('');

/** Red, green and blue of a class. */
const colourOf = (label: number): readonly number[] =>
  [0, 2, 4].map((at) => Number.parseInt(palette.slice(6 * label + at, 6 * label + at + 2), 16));

/** Most of the longer side and of the shorter at which the network looks. */
const largest = { long: 2048, short: 512 };

/** The detector hands over red first to a pipeline that expects blue first; so the means of red are taken from blue. */
const mean = [123.675, 116.28, 103.53];
const deviation = [58.395, 57.12, 57.375];

function normalised({ width, height, data }: Image<3>): Tensor<'float32'> {
  const plane = width * height;
  const x = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < plane; i++)
      x[c * plane + i] =
        Math.fround((data[3 * i + 2 - c] as number) - (mean[c] as number)) * (1 / (deviation[c] as number));
  return float32([1, 3, height, width], x);
}

/** The likeliest class of each pixel. `scores` [1, classes, h, w] are enlarged first to the network's size, then to the picture's. */
function likeliest(scores: Tensor<'float32'>, seen: Image, { width, height }: Image): Uint8Array {
  const [, classes = 0, h = 0, w = 0] = scores.shape;
  const best = new Float32Array(width * height).fill(Number.NEGATIVE_INFINITY);
  const labels = new Uint8Array(width * height);
  for (let label = 0; label < classes; label++) {
    const small = float32([1, 1, h, w], scores.data.subarray(label * h * w, (label + 1) * h * w));
    const middle = resizeBilinear(small, seen.height, seen.width);
    const { data } = resizeBilinear(middle, height, width);
    for (let i = 0; i < labels.length; i++)
      if ((data[i] as number) > (best[i] as number)) {
        best[i] = data[i] as number;
        labels[i] = label;
      }
  }
  return labels;
}

/** Each pixel in the colour of its class. */
export async function classColours(image: Image<3>, annotator: Annotator, signal?: AbortSignal): Promise<Image<3>> {
  const [long, short] = [Math.max(image.width, image.height), Math.min(image.width, image.height)];
  const factor = Math.min(largest.long / long, largest.short / short);
  const side = (length: number): number => Math.trunc(length * factor + 0.5);
  const seen = resizeBytes(image, side(image.width), side(image.height), 'linear');
  const { classes } = await annotator.run(normalised(seen), signal);
  const labels = likeliest(classes as Tensor<'float32'>, seen, image);
  const out = createImage(image.width, image.height, 3);
  const colours = Array.from({ length: 150 }, (_, label) => colourOf(label));
  for (const [i, label] of labels.entries()) out.data.set(colours[label] ?? [0, 0, 0], 3 * i);
  return out;
}
