/**
 * Draws the pictures of the micro run: circles, squares and triangles in four colours on grey, 32x32 pixels, each with its caption.
 *
 *     node --import ./tools/typescript.mjs examples/train-micro/draw-pictures.ts build/micro
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage } from '../../src/image/image.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';

const size = 32;
const colours = { red: [214, 48, 40], green: [36, 160, 72], blue: [44, 84, 206], yellow: [236, 196, 44] } as const;
const shapes = {
  circle: (x: number, y: number) => x * x + y * y <= 1,
  square: (x: number, y: number) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85,
  triangle: (x: number, y: number) => y <= 0.8 && y >= 1.9 * Math.abs(x) - 0.9,
} as const;

const [folder = 'build/micro'] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const generator = new TorchGenerator(1);
const pick = <T>(list: readonly T[]): T => list[generator.integer(0, list.length)] as T;
for (let i = 0; i < 256; i++) {
  const [colour, shape] = [
    pick(Object.keys(colours) as (keyof typeof colours)[]),
    pick(Object.keys(shapes) as (keyof typeof shapes)[]),
  ];
  const [centreX, centreY] = [10 + 12 * generator.uniform(), 10 + 12 * generator.uniform()];
  const radius = 5 + 4 * generator.uniform();
  const grey = 205 + 40 * generator.uniform();
  const image = createImage(size, size, 3);
  for (let at = 0; at < size * size; at++) {
    // Four by four points a pixel, for smooth edges.
    let inside = 0;
    for (let point = 0; point < 16; point++) {
      const [x, y] = [(at % size) + (0.5 + (point % 4)) / 4, Math.floor(at / size) + (0.5 + Math.floor(point / 4)) / 4];
      if (shapes[shape]((x - centreX) / radius, (y - centreY) / radius)) inside++;
    }
    for (const [channel, level] of colours[colour].entries())
      image.data[3 * at + channel] = Math.round((level * inside + grey * (16 - inside)) / 16);
  }
  const name = join(folder, String(i).padStart(3, '0'));
  await writeFile(`${name}.png`, await nodeImageCodec.encode(image, { format: 'png' }));
  await writeFile(`${name}.txt`, `a ${colour} ${shape}`);
}
