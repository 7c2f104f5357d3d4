/** Preprocessors without weights, pixel for pixel: edges, tones, scribbles, blur, tile, colour grid, thinning, content shuffle, resizing. */

import { join } from 'node:path';
import { createImage, type Image } from '../../../src/image/image.ts';
import { blurBytes } from '../../../src/image/opencv/gaussian-blur.ts';
import { greyOf } from '../../../src/image/opencv/colour.ts';
import { ridges, suppressed, thin } from '../../../src/image/opencv/thinning.ts';
import { depthMap, normalMap } from '../../../src/preprocessors/depth-maps.ts';
import {
  binary,
  canny,
  invert,
  lineartStandard,
  recolourIntensity,
  recolourLuminance,
  safeStep,
  scribbleFromMap,
  scribbleXdog,
  threshold,
} from '../../../src/preprocessors/line-drawing.ts';
import { colourGrid, type ShuffleDraws, shuffle, tileResample } from '../../../src/preprocessors/rearranging.ts';
import { atMultiplesOf64, atResolution, overWhite } from '../../../src/preprocessors/working-size.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pick, readTensors } from '../../tensors.ts';
import { type Comparison, compareTensors, type Reader, type RecordedCase, settingsOf } from '../reader.ts';

type Made = (numbers: readonly number[], inputs: ReturnType<typeof readTensors>, recorded: RecordedCase) => Tensor;

function imageOf(tensor: Tensor): Image {
  const [height = 1, width = 1, channels = 1] = tensor.shape;
  return createImage(width, height, channels as 1 | 3 | 4, Uint8Array.from(tensor.data as Uint8Array));
}

const tensorOf = ({ width, height, channels, data }: Image): Tensor => ({
  dtype: 'uint8',
  shape: channels === 1 ? [height, width] : [height, width, channels],
  data,
});

const rgb = (inputs: ReturnType<typeof readTensors>): Image<3> => overWhite(imageOf(pick(inputs, 'image')));
const grey = (inputs: ReturnType<typeof readTensors>): Image<1> => greyOf(rgb(inputs));
const drawn = ({ values, rows, columns }: ShuffleDraws): Tensor => ({
  dtype: 'float64',
  shape: [rows, columns],
  data: values,
});
const shuffled = (inputs: ReturnType<typeof readTensors>, recorded: RecordedCase, spacing: number) =>
  shuffle(rgb(inputs), Number(settingsOf(recorded)['numpy seed']), spacing);

const onImage =
  (run: (image: Image<3>, first: number, second: number) => Image): Made =>
  ([first = 0, second = 0], inputs) =>
    tensorOf(run(rgb(inputs), first, second));

/** What the recording thins: strong edges, three pixels wide. */
function edgesOf(inputs: ReturnType<typeof readTensors>): Image<1> {
  const edges = canny(rgb(inputs), 80, 160);
  const { width, height, data } = edges;
  const near = (i: number): boolean => {
    const [x, y] = [i % width, Math.floor(i / width)];
    for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row++)
      for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column++)
        if (data[row * width + column]) return true;
    return false;
  };
  return createImage(
    width,
    height,
    1,
    Uint8Array.from(data, (_, i) => (near(i) ? 255 : 0)),
  );
}

/** At the picture's own resolution, with the padding that the preprocessor sees. */
const padded = (run: (image: Image<3>, first: number) => Image): Made =>
  onImage((image, first) => {
    const { padded: whole, cut } = atResolution(image, Math.min(image.width, image.height));
    return cut(run(whole, first));
  });

/** By the function that an output's name names. */
const functions: Readonly<Record<string, Made>> = {
  raw: onImage(canny),
  gray: ([low = 0, high = 0], inputs) => tensorOf(canny(overWhite(grey(inputs)), low, high)),
  resolution: ([resolution = 0, low = 0, high = 0], inputs) => {
    const { padded, cut } = atResolution(rgb(inputs), resolution);
    return tensorOf(cut(canny(padded, low, high)));
  },
  invert: onImage(invert),
  'hwc3.gray': (_, inputs) => tensorOf(overWhite(imageOf(pick(inputs, 'gray')))),
  'hwc3.rgba': (_, inputs) => tensorOf(overWhite(imageOf(pick(inputs, 'rgba')))),
  threshold: onImage(threshold),
  scribble_xdog: padded(scribbleXdog),
  binary: onImage(binary),
  blur_gaussian: onImage(blurBytes),
  tile_resample: onImage(tileResample),
  lineart_standard: padded(lineartStandard),
  recolor_luminance: onImage(recolourLuminance),
  recolor_intensity: onImage(recolourIntensity),
  color: onImage(colourGrid),
  nms: ([sigma = 0], inputs) => tensorOf(suppressed(imageOf(pick(inputs, 'gray')) as Image<1>, 127, sigma)),
  scribble_from_map: (_, inputs) => tensorOf(scribbleFromMap(imageOf(pick(inputs, 'gray')) as Image<1>)),
  thin: (_, inputs) => tensorOf(thin(edgesOf(inputs), false)),
  'thin.pruned': (_, inputs) => tensorOf(thin(edgesOf(inputs), true)),
  nake_nms: (_, inputs) => {
    const image = imageOf(pick(inputs, 'gray')) as Image<1>;
    return tensorOf({ ...image, data: ridges(image.data, image.width, image.height) });
  },
  safe_step: () =>
    float32(
      [41],
      Array.from({ length: 41 }, (_, i) => safeStep(i / 40)),
    ),
  picture: ([spacing = 0], inputs, recorded) => tensorOf(shuffled(inputs, recorded, spacing).image),
  draws_x: ([spacing = 0], inputs, recorded) => drawn(shuffled(inputs, recorded, spacing).x),
  draws_y: ([spacing = 0], inputs, recorded) => drawn(shuffled(inputs, recorded, spacing).y),
  '': ([resolution = 0], inputs) => tensorOf(atMultiplesOf64(rgb(inputs), resolution)),
  depth: (_, inputs) => tensorOf(depthMap(expectDType(pick(inputs, 'depth'), 'float32'))),
  normal: ([a = 0, background = 0], inputs) =>
    tensorOf(normalMap(expectDType(pick(inputs, 'depth'), 'float32'), a, background)),
};

const originals = /annotator\.(canny|shuffle)|processor\.py|util\.resize_image|apply_midas/;

export const reader: Reader = {
  set: 'control',
  reads: ({ reference }, part) => part === 'annotators' && originals.test(String(reference)),
  *compare(recorded): Generator<Comparison> {
    const { row, folder } = recorded;
    const inputs = readTensors(join(folder, 'inputs.safetensors'));
    const outputs = row['outputs'] as Readonly<Record<string, { readonly atol?: number }>>;
    for (const [output, want] of readTensors(join(folder, 'outputs.safetensors'))) {
      const name = functions[output] ? output : (/^[a-z_]*/.exec(output)?.[0] ?? '');
      const numbers = (output.slice(name.length).match(name === 'resolution' ? /\d+/g : /\d+(?:\.\d+)?/g) ?? []).map(
        Number,
      );
      const made = functions[name]?.(numbers, inputs, recorded);
      yield compareTensors(output, made, want, outputs[output]?.atol ?? 0);
    }
  },
};
