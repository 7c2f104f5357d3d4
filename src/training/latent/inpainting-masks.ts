/**
 * Random masks for the 9-channel inpainting fine-tune: thick strokes and boxes, as LaMa's training draws them (Suvorov et al. 2022,
 * arXiv:2109.07161), and for a share of the pictures everything, as Stable Diffusion's inpainting model was trained.
 */

import { createImage, type Image } from '../../image/image.ts';
import type { TorchGenerator } from '../../random/torch-generator.ts';

/** A grey picture, 255 where the picture is regenerated, in at least one pixel. */
export function randomMask(size: number, generator: TorchGenerator, fullShare = 0.25): Image<1> {
  const mask = createImage(size, size, 1);
  if (generator.uniform() < fullShare) {
    mask.data.fill(255);
    return mask;
  }
  if (generator.uniform() < 0.5) for (let i = generator.integer(1, 5); i > 0; i--) drawBox(mask, generator);
  else for (let i = generator.integer(1, 5); i > 0; i--) drawStroke(mask, generator);
  return mask;
}

function drawBox(mask: Image<1>, generator: TorchGenerator): void {
  const { width: size } = mask;
  const side = (): number => generator.integer(Math.max(1, size >> 3), Math.max(2, (size >> 1) + 1));
  const [w, h] = [side(), side()];
  const [left, top] = [
    generator.integer(0, Math.max(1, size - w + 1)),
    generator.integer(0, Math.max(1, size - h + 1)),
  ];
  for (let y = top; y < Math.min(size, top + h); y++)
    mask.data.fill(255, y * size + left, y * size + Math.min(size, left + w));
}

/** A line of several pieces with round ends. */
function drawStroke(mask: Image<1>, generator: TorchGenerator): void {
  const { width: size } = mask;
  const radius = Math.max(1, size * (0.03 + 0.09 * generator.uniform()));
  let [x, y] = [size * generator.uniform(), size * generator.uniform()];
  let angle = 2 * Math.PI * generator.uniform();
  for (let piece = generator.integer(1, 6); piece > 0; piece--) {
    angle += Math.PI * (generator.uniform() - 0.5);
    const length = size * (0.1 + 0.3 * generator.uniform());
    for (let along = 0; along <= length; along += Math.max(1, radius / 2))
      fillDisc(mask, x + along * Math.cos(angle), y + along * Math.sin(angle), radius);
    x = Math.min(size, Math.max(0, x + length * Math.cos(angle)));
    y = Math.min(size, Math.max(0, y + length * Math.sin(angle)));
  }
}

function fillDisc(mask: Image<1>, x: number, y: number, radius: number): void {
  const { width: size } = mask;
  for (let row = Math.max(0, Math.ceil(y - radius)); row <= Math.min(size - 1, y + radius); row++) {
    const half = Math.sqrt(Math.max(0, radius ** 2 - (row - y) ** 2));
    const [from, to] = [Math.max(0, Math.ceil(x - half)), Math.min(size - 1, Math.floor(x + half))];
    if (from <= to) mask.data.fill(255, row * size + from, row * size + to + 1);
  }
}
