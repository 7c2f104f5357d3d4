/** Pictures from files as IMAGE and MASK: RGB / 255, and 1 - alpha, or 64 by 64 zeros where the file has no transparency. */

import { joinBatches } from '../tensor/batches.ts';
import { float32, zeros } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import type { Float32 } from './grids.ts';

/** The side of the mask of a picture without transparency. */
const emptyMask = 64;

/** Bytes as shares of 255; a table, because a large picture has millions. */
const shares = Float32Array.from({ length: 256 }, (_, byte) => byte / 255);

/** Every frame, one behind the other. */
export async function loadedPicture(
  name: string,
  { files, decodeFrames }: NodeContext,
): Promise<readonly [Float32, Float32]> {
  const { frames, hasAlpha } = await decodeFrames(await files.read(name));
  const images = frames.map(({ width, height, data }) => {
    const colours = new Float32Array(width * height * 3);
    for (let from = 0, to = 0; to < colours.length; from += 4, to += 3) {
      colours[to] = shares[data[from] as number] as number;
      colours[to + 1] = shares[data[from + 1] as number] as number;
      colours[to + 2] = shares[data[from + 2] as number] as number;
    }
    return float32([1, height, width, 3], colours);
  });
  const masks = frames.map(({ width, height, data }) => {
    if (!hasAlpha) return zeros('float32', [1, emptyMask, emptyMask]);
    const mask = new Float32Array(width * height);
    for (let i = 0; i < mask.length; i++) mask[i] = 1 - (shares[data[i * 4 + 3] as number] as number);
    return float32([1, height, width], mask);
  });
  return [joinBatches(images), joinBatches(masks)];
}

/** One channel of the first frame; alpha inverted. */
export async function loadedMask(
  name: string,
  channel: string,
  { files, decodeFrames }: NodeContext,
): Promise<Float32> {
  const { frames } = await decodeFrames(await files.read(name));
  const [{ width, height, data } = { width: 1, height: 1, data: new Uint8Array(4) }] = frames;
  const index = ['red', 'green', 'blue', 'alpha'].indexOf(channel);
  const values = new Float32Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const share = shares[data[i * 4 + index] as number] as number;
    values[i] = channel === 'alpha' ? 1 - share : share;
  }
  return float32([1, height, width], values);
}
