/** Pictures of A1111's scripts and its colour correction against recordings (a1111-scripts-golden.py). */

import assert from 'node:assert/strict';
import test from 'node:test';
import { correctColors } from '../../src/image/color-correction.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { matchedNoise } from '../../src/pipelines/outpainting/matched-noise.ts';
import { labToRgb, rgbToLab } from '../../src/image/opencv/lab.ts';
import { pcg64 } from '../../src/random/pcg64.ts';
import { reference } from '../reference.ts';
import { readTensors } from '../tensors.ts';

const recorded = readTensors(reference('image/a1111-scripts.safetensors'));

function picture<C extends 1 | 3>(name: string): Image<C> {
  const found = recorded.get(name);
  assert.ok(found, name);
  const [height = 1, width = 1, channels = 1] = found.shape;
  return createImage(width, height, channels as C, Uint8Array.from(found.data as Uint8Array));
}

/** How many values differ, and by how much at most. */
function difference(a: Image, b: Image): readonly [count: number, most: number] {
  const all = Array.from(a.data, (value, i) => Math.abs(value - (b.data[i] ?? 0)));
  return [all.filter((one) => one > 0).length, Math.max(...all)];
}

test("PCG64 draws numpy's default_rng(0).random(3)", () => {
  const next = pcg64(0);
  assert.deepEqual([next(), next(), next()], [0.6369616873214543, 0.2697867137638703, 0.04097352393619469]);
});

test("CIE L*a*b* is OpenCV's to the byte, there and back", () => {
  assert.deepEqual(difference(rgbToLab(picture<3>('lab.rgb')), picture('lab.lab')), [0, 0]);
  assert.deepEqual(difference(labToRgb(picture<3>('lab.rgb')), picture('lab.back')), [0, 0]);
});

test('colour correction is A1111’s to the byte', () => {
  const result = correctColors(picture<3>('colour.made'), picture<3>('colour.source'));
  assert.deepEqual(difference(result, picture('colour.out')), [0, 0]);
});

test('the noise of outpainting mk2 is A1111’s: one level apart at most, where rounding falls the other way', () => {
  for (const name of ['left', 'down']) {
    const [fallOff, colorVariation] = Array.from(recorded.get(`noise.${name}.settings`)?.data as Float64Array);
    const image = picture<3>(`noise.${name}.image`);
    const result = matchedNoise(image, picture<1>(`noise.${name}.mask`), { fallOff, colorVariation });
    const [count, most] = difference(result, picture(`noise.${name}.out`));
    assert.ok(most <= 1 && count < image.data.length / 1000, `${name}: ${count} values differ, by ${most} at most`);
  }
});
