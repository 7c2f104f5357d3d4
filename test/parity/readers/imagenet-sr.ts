/** The pairs of ImageNetSR: crop, resize by areas, and every degradation, from the seeds of Python's and numpy's generators. */

import { nodeImageCodec } from '../../../src/image/codec/codec-node.ts';
import { createImage, type Image } from '../../../src/image/image.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { pythonDraws } from '../../../src/training/degrade/draws.ts';
import { type Degradation, shareCrop, smallPicture } from '../../../src/training/degrade/super-resolution-picture.ts';
import { lineageCase, type Loose } from '../lineage-case.ts';
import type { Reader } from '../reader.ts';

const values = ({ width, height, data }: Image<3>): Tensor =>
  float32(
    [height, width, 3],
    Float32Array.from(data, (value) => Math.fround(Math.fround(value / 127.5) - 1)),
  );

export const reader: Reader = {
  set: 'lineage',
  reads: (row) => /^ImageNetSR:/.test(String(row['exercises'])),
  async *compare(raw) {
    const recorded = lineageCase(raw);
    const { size, downscale_f: factor, draws: runs, min_crop_f: least, max_crop_f: greatest } = recorded.settings;
    const { shape, data } = recorded.tensor('picture');
    const picture = createImage(shape[1] ?? 0, shape[0] ?? 0, 3, Uint8Array.from(data as Uint8Array));
    for (const [name, { seed }] of Object.entries<Loose>(runs)) {
      const draws = pythonDraws(seed);
      const center = name.endsWith('_center');
      const image = shareCrop(picture, { size, least, greatest, center }, draws);
      yield recorded.compare(`${name}.image`, values(image));
      const degradation = name.replace(/_center$/, '') as Degradation;
      const small = await smallPicture(image, { degradation, factor, codec: nodeImageCodec }, draws);
      yield recorded.compare(`${name}.LR_image`, values(small));
    }
  },
};
