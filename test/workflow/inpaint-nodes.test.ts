/**
 * Nodes for inpainting and CLIP's pixels, against what the Python of comfyui-inpaint-nodes, comfyui_controlnet_aux and ComfyUI gave for the
 * same inputs (PyTorch 2.13 on the CPU, kornia 0.8.1); tolerances as in recorded-nodes.ts.
 */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encoderPixels } from '../../src/workflow/image-encoder.ts';
import { type Case, expectRecorded, expectSame, type Packed, recordedCases, unpacked } from './recorded-nodes.ts';

interface PixelsCase {
  readonly pixels: Packed;
  readonly size: number;
  readonly crops: boolean;
  readonly outputs: readonly [Packed];
}
const cases = recordedCases<Case | PixelsCase>('inpaint-nodes');

test('masks, fills, blurs and matched colours', async () => {
  const own = cases.filter((one): one is Case => 'node' in one);
  assert.equal(own.length, 19);
  for (const [i, one] of own.entries()) await expectRecorded(one, String(i));
});

test('pictures as CLIP takes them: bicubic with antialiasing, the middle or the whole', () => {
  const own = cases.filter((one): one is PixelsCase => 'pixels' in one);
  assert.equal(own.length, 4);
  for (const { pixels, size, crops, outputs } of own)
    expectSame(encoderPixels(unpacked(pixels), size, crops), outputs[0], `${pixels.shape.join()} ${crops}`);
});
