/** What DeepFloyd IF does with its pictures: the visible mark, and the heads of the safety checker. */

import { huggingFaceNetwork } from '../../../src/config/hugging-face-network.ts';
import { createImage } from '../../../src/image/image.ts';
import { withVisibleMark } from '../../../src/image/visible-mark.ts';
import { forward } from '../../../src/model/forward.ts';
import type { Tensor } from '../../../src/tensor/tensor.ts';
import { parityEngine } from '../engine.ts';
import type { LineageCase } from '../lineage-case.ts';
import { type Comparison, originalOf } from '../reader.ts';
import { lineageReader } from '../lineage-reader.ts';

const imageOf = <C extends 3 | 4>({ shape, data }: Tensor, channels: C) =>
  createImage(shape[1] ?? 0, shape[0] ?? 0, channels, Uint8Array.from(data as ArrayLike<number>));

function* marks(recorded: LineageCase): Generator<Comparison> {
  const mark = imageOf(recorded.tensor('watermark_image'), 4);
  const sizes: readonly (readonly [number, number, number | null])[] = recorded.settings.h_w_sample_size;
  for (const [i, [height, , nominal]] of sizes.entries()) {
    const made = withVisibleMark(imageOf(recorded.tensor(`picture.${i}`), 3), mark, nominal ?? height);
    yield recorded.compare(`picture.${i}`, {
      dtype: 'uint8',
      shape: [made.height, made.width, 3],
      data: Uint8Array.from(made.data),
    });
  }
}

async function* heads(recorded: LineageCase): AsyncGenerator<Comparison> {
  const config = huggingFaceNetwork(
    { architectures: ['IFSafetyChecker'], vision_config: recorded.settings.vision },
    recorded.name,
  );
  const made = await forward({
    engine: parityEngine(),
    config,
    weights: recorded.weights('model'),
    inputs: recorded.inputs,
  });
  for (const name of recorded.outputs.keys()) yield recorded.compare(name, made.get(name));
}

export const reader = lineageReader(
  [
    [/IFWatermarker/, marks],
    [/IFSafetyChecker/, heads],
  ],
  originalOf,
);
