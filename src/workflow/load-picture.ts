/** Pictures from files as IMAGE and MASK: RGB / 255, and 1 - alpha, or 64 by 64 zeros where the file has no transparency. */

import { joinBatches } from '../tensor/batches.ts';
import { float32, zeros } from '../tensor/tensor.ts';
import type { NodeContext } from './context-in-run.ts';
import type { Float32 } from './grids.ts';

/** The side of the mask of a picture without transparency. */
const emptyMask = 64;

/** Every frame, one behind the other. */
export async function loadedPicture(
  name: string,
  { files, decodeFrames }: NodeContext,
): Promise<readonly [Float32, Float32]> {
  const { frames, hasAlpha } = await decodeFrames(await files.read(name));
  const images = frames.map(({ width, height, data }) =>
    float32(
      [1, height, width, 3],
      Float32Array.from(
        { length: width * height * 3 },
        (_, i) => (data[Math.floor(i / 3) * 4 + (i % 3)] as number) / 255,
      ),
    ),
  );
  const masks = frames.map(({ width, height, data }) =>
    hasAlpha
      ? float32(
          [1, height, width],
          Float32Array.from({ length: width * height }, (_, i) => 1 - Math.fround((data[i * 4 + 3] as number) / 255)),
        )
      : zeros('float32', [1, emptyMask, emptyMask]),
  );
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
  const values = Float32Array.from({ length: width * height }, (_, i) => {
    const share = Math.fround((data[i * 4 + index] as number) / 255);
    return channel === 'alpha' ? 1 - share : share;
  });
  return float32([1, height, width], values);
}
