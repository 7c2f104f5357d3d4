/** PiDiNet and Depth Anything with made-up weights against the originals (`networks-golden.py`). */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { depthAnythingVersions, readDepthAnything } from '../../src/models/annotators/depth-anything.ts';
import { detectAnnotator, readAnnotator } from '../../src/models/annotators/index.ts';
import { createAnnotator } from '../../src/preprocessors/annotate.ts';
import {
  depthAnythingPicture,
  depthAnythingSize,
  pixelDifferences,
  planes,
} from '../../src/preprocessors/network-maps.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { pick, readTensors } from '../tensors.ts';
import { compareTensor } from '../parity.ts';

const recorded = readTensors(new URL('../../fixtures/annotators/networks.safetensors', import.meta.url).pathname);
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const image: Image<3> = (() => {
  const { shape, data } = pick(recorded, 'image');
  const [height = 1, width = 1] = shape;
  return createImage(width, height, 3, Uint8Array.from(data as Uint8Array));
})();

/** The weights under a prefix, which is removed, as a file of that name. */
function weightsOf(prefix: string, label: string): WeightSource {
  const own = Array.from(recorded).flatMap(([name, value]): [string, Tensor][] =>
    name.startsWith(prefix) && !/\.(?:in|out)\./.test(name) ? [[name.slice(prefix.length), value]] : [],
  );
  return memoryWeights(new Map(own), label);
}

/** Pixels may lie one level beside the original's, whose sums are in another order. */
function assertLevels(made: Image<1>, name: string): void {
  const wanted = pick(recorded, name).data;
  assert.equal(made.data.length, wanted.length);
  const off = Math.max(...Array.from(made.data, (value, i) => Math.abs(value - Number(wanted[i]))));
  assert.ok(off <= 1, `${name}: ${off} levels off`);
}

function assertClose(made: Tensor | undefined, name: string): void {
  compareTensor(
    { part: 'annotators', case: name, output: name, reference: 'networks-golden.py', tolerance: 1e-4 },
    made as Tensor,
    pick(recorded, name),
  );
}

test('PiDiNet draws the edges that the original draws', async () => {
  const source = weightsOf('pidinet.', 'table5_pidinet.pth');
  await using network = createAnnotator(engine, readAnnotator(source));
  assert.equal(network.kind, 'pidinet');
  const swapped = { ...image, data: image.data.map((_, i) => image.data[i + 2 - 2 * (i % 3)] as number) };
  assertClose((await network.run(planes(swapped, (sample) => sample / 255)))['edge'], 'pidinet.out.edge');
  const edges = await pixelDifferences(image, network, 'all');
  assertLevels(edges, 'pidinet.out.map');
  const [safe, binary] = [
    await pixelDifferences(image, network, 'safe'),
    await pixelDifferences(image, network, 'binary'),
  ];
  assert.deepEqual(
    [...new Set(safe.data)].filter((value) => ![0, 127, 255].includes(value)),
    [],
  );
  // The level 127 holds shares on both sides of a half.
  assert.ok(edges.data.every((value, i) => value === 127 || binary.data[i] === (value > 127 ? 255 : 0)));
});

test('Depth Anything: the name of the file tells the versions apart, and each has the depth of its original', async () => {
  const kinds = ['depth_anything_vitl14.pth', 'depth_anything_v2_vits.safetensors'].map(
    (label) => detectAnnotator(weightsOf('depth.', label))?.kind,
  );
  assert.deepEqual(kinds, ['depth_anything', 'depth_anything_v2']);
  for (const [i, which] of ['first', 'second'].entries()) {
    const version = depthAnythingVersions[i] as (typeof depthAnythingVersions)[number];
    const source = weightsOf('depth.', version.file);
    await using network = createAnnotator(engine, readDepthAnything(source, version, { heads: 2 }));
    for (const size of ['square', 'other']) {
      const { depth } = await network.run(pick(recorded, `depth.in.${size}`) as Tensor<'float32'>);
      assertClose(depth, `depth.out.${size}.${which}`);
    }
  }
});

test("Depth Anything's detector resizes and scales to levels as the original", async () => {
  assert.deepEqual(depthAnythingSize({ width: 512, height: 768 }), { width: 518, height: 784 });
  let seen: Tensor<'float32'> | undefined;
  const map = await depthAnythingPicture(image, {
    kind: 'depth_anything',
    async run(x) {
      seen = x;
      const [, , height = 1, width = 1] = x.shape;
      const size = height * width;
      const depth = Float32Array.from(
        { length: size },
        (_, i) => (x.data[i] as number) - 0.5 * (x.data[2 * size + i] as number),
      );
      return { depth: float32([1, height, width], depth) };
    },
  });
  const [, , height = 1, width = 1] = seen?.shape ?? [];
  const [rows, columns] = [Math.ceil(height / 16), Math.ceil(width / 16)];
  const every = Float32Array.from({ length: 3 * rows * columns }, (_, i) => {
    const [plane, row, column] = [Math.floor(i / (rows * columns)), Math.floor(i / columns) % rows, i % columns];
    return seen?.data[(plane * height + 16 * row) * width + 16 * column] as number;
  });
  assertClose(float32([3, rows, columns], every), 'detector.seen.every16th');
  assertLevels(map, 'detector.map');
});
