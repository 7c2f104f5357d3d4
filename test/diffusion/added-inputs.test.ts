/** Controls together in one call: the tokens of a style adapter reach the other controls, whatever their order. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addedInputs } from '../../src/diffusion/control/added-inputs.ts';
import type { ControlUnit } from '../../src/diffusion/control/control-unit.ts';
import { styleUnit } from '../../src/diffusion/control/style-unit.ts';
import { float32 } from '../../src/tensor/tensor.ts';

const window = { start: 0, end: 1 };
const style = styleUnit({ tokens: float32([1, 2, 1], [7, 8]), weight: 0.5, window, negative: 'zeros' });
const seen: (readonly number[])[] = [];
const control: ControlUnit = {
  window,
  async before({ inputs }) {
    seen.push([...((inputs['context']?.data ?? []) as Float32Array)]);
    return { 'control.0': float32([1], [1]) };
  },
};

test('a control network sees the context with the style tokens, as in A1111 and ComfyUI', async () => {
  const inputs = {
    x: float32([2, 1, 1, 1], [0, 0]),
    timesteps: float32([2], [1, 1]),
    context: float32([2, 1, 1], [1, 2]),
  };
  for (const units of [
    [style, control],
    [control, style],
  ]) {
    const added = await addedInputs(units, { inputs, isConditional: [true, false] }, () => true);
    assert.deepEqual(Object.keys(added).sort(), ['context', 'control.0']);
    assert.deepEqual([...((added['context']?.data ?? []) as Float32Array)], [1, 3.5, 4, 2, 0, 0]);
  }
  assert.deepEqual(seen, [
    [1, 3.5, 4, 2, 0, 0],
    [1, 3.5, 4, 2, 0, 0],
  ]);
  // A style adapter whose window is closed adds nothing.
  await addedInputs([control, style], { inputs, isConditional: [true, false] }, (unit) => unit === control);
  assert.deepEqual(seen.at(-1), [1, 2]);
});
