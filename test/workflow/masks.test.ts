/** Masks that grow: long steps give what steps of one pixel give. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float32 } from '../../src/tensor/tensor.ts';
import { grown } from '../../src/workflow/masks.ts';
import { processorTime } from '../processor-time.ts';

/** Grown step by step, as ComfyUI's nodes_mask.py does it. */
function grownByOne(mask: Float32Array, [h, w]: readonly [number, number], expand: number, tapered: boolean): number[] {
  const pick = expand < 0 ? Math.min : Math.max;
  const at = (data: readonly number[], y: number, x: number): number =>
    data[Math.min(h - 1, Math.max(0, y)) * w + Math.min(w - 1, Math.max(0, x))] as number;
  let data = [...mask];
  for (let step = 0; step < Math.abs(expand); step++) {
    const before = data;
    data = before.map((own, i) => {
      const [y, x] = [Math.floor(i / w), i % w];
      const cross = [own, at(before, y - 1, x), at(before, y + 1, x), at(before, y, x - 1), at(before, y, x + 1)];
      const corners = [-1, 1].flatMap((dy) => [-1, 1].map((dx) => at(before, y + dy, x + dx)));
      return pick(...cross, ...(tapered ? [] : corners));
    });
  }
  return data;
}

test('a mask that grows in long steps is the mask that grows pixel by pixel', () => {
  for (const [h, w] of [
    [1, 40],
    [40, 1],
    [13, 17],
    [30, 8],
  ] as const)
    for (const expand of [0, 1, 2, 3, 5, 6, 7, 12, 19, 33, -1, -4, -11, -200])
      for (const tapered of [true, false]) {
        const data = Float32Array.from({ length: h * w }, (_, i) => (((i + expand + 400) * 7919) % 101) ** 8);
        const { data: made } = grown(float32([1, h, w], data), expand, tapered);
        assert.deepEqual([...made], grownByOne(data, [h, w], expand, tapered), `${h} x ${w}, ${expand}, ${tapered}`);
      }
});

test('a mask grows by 16,384 pixels in the time of fourteen steps', () => {
  const mask = float32(
    [1, 512, 512],
    Float32Array.from({ length: 512 * 512 }, (_, i) => (i % 4099 === 0 ? 1 : 0)),
  );
  assert.ok(processorTime(() => grown(mask, 16_384, false)) < 5000);
});
