/** GFPGAN, RestoreFormer and ParseNet against the originals, and pasting along an outline against facexlib's (`restorers-golden.py`). */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { type Affine, warpAffine } from '../../src/image/opencv/warp-affine.ts';
import { detectFaceNetwork, readFaceDetector, readFaceParser, readFaceRestorer } from '../../src/models/faces/index.ts';
import { createAnnotator } from '../../src/preprocessors/annotate.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { faceOutline } from '../../src/upscaling/faces/face-outline.ts';
import { pasteFace } from '../../src/upscaling/faces/paste-face.ts';
import { createFaceRestorer } from '../../src/upscaling/faces/restore-faces.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { withNames } from '../../src/weights/view.ts';
import { generateNormalisedWeights, generateWeights } from '../generated-weights.ts';
import { compareTensor } from '../parity.ts';
import { pick, readTensors } from '../tensors.ts';

const folder = fileURLToPath(new URL('../../fixtures/faces', import.meta.url));
const recorded = readTensors(join(folder, 'restorers.safetensors'));
const picture = pick(readTensors(join(folder, 'faces.safetensors')), 'picture');
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const weightsOf = (name: string, label = `${name}.pth`) =>
  memoryWeights(generateWeights(join(folder, `${name}.json`)), label);

function assertClose(made: Tensor | undefined, name: string, tolerance: number): void {
  compareTensor(
    { part: 'faces', case: name, output: name, reference: 'restorers-golden.py', tolerance },
    made as Tensor,
    pick(recorded, name),
  );
}

for (const [file, title] of [
  ['gfpgan', 'GFPGAN'],
  ['gfpgan-whole', 'GFPGAN'],
  ['restoreformer', 'RestoreFormer'],
] as const)
  test(`${title} restores as the original (${file})`, async () => {
    // As the published files hold them.
    const network = readFaceRestorer(withNames(weightsOf(file), (name) => `params_ema.${name}`));
    assert.deepEqual([network.title, network.side, network.takesWeight], [title, 32, false]);
    await using program = await engine.compile(network.trace(), network.weights);
    const { out } = await program.run({ x: pick(recorded, 'x') });
    assertClose(out, file, 2e-5);
  });

test('ParseNet says of each pixel what the original says', async () => {
  await using network = createAnnotator(engine, { ...readFaceParser(weightsOf('parsenet')), kind: 'parser' });
  const { classes } = await network.run(pick(recorded, 'x') as Tensor<'float32'>);
  assertClose(classes, 'parsenet', 1e-4);
});

test('a network without a weight restores the same at every weight', async () => {
  const detector = readFaceDetector(
    memoryWeights(generateNormalisedWeights(join(folder, 'retinaface.json')), 'detection_Resnet50_Final.pth'),
  );
  await using restorer = createFaceRestorer(engine, { detector, restorer: readFaceRestorer(weightsOf('gfpgan')) });
  const x = pick(recorded, 'x') as Tensor<'float32'>;
  assert.deepEqual((await restorer.run(x, 0)).data, (await restorer.run(x, 1)).data);
});

/** A parser that says the recorded classes of every face. */
const parser = {
  kind: 'said',
  async run({ shape }: Tensor<'float32'>) {
    const [, , height = 1, width = 1] = shape;
    assert.deepEqual([height, width], [512, 512]);
    const grid = pick(recorded, 'outline.grid').data;
    const data = new Float32Array(19 * height * width);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const said = Number(grid[(y >> 4) * 32 + (x >> 4)]);
        data[said * height * width + y * width + x] = 1;
      }
    return { classes: float32([1, 19, height, width], data) };
  },
};

for (const side of [64, 512])
  test(`a face of ${side} pixels is put back along its outline, as by facexlib`, async () => {
    const [height = 1, width = 1] = picture.shape;
    const image: Image<3> = createImage(width, height, 3, Uint8Array.from(picture.data as Uint8Array));
    const aligned = Array.from(pick(recorded, `outline.${side}.matrix`).data, Number) as unknown as Affine;
    const cut = warpAffine(image, aligned, side, side, [132, 133, 135]);
    const face = { ...cut, data: cut.data.map((value) => 255 - value) };
    const samples = Float64Array.from(image.data);
    pasteFace(samples, image, { face, aligned, outline: await faceOutline(face, parser) });
    const wanted = pick(recorded, `outline.${side}.pasted`).data as Uint8Array;
    const off = Array.from(samples, (value, i) => Math.abs(Math.trunc(value) - (wanted[i] as number)));
    assert.ok(Math.max(...off) <= (side === 64 ? 0 : 1), `${Math.max(...off)} levels off`);
    assert.ok(off.filter((value) => value > 0).length <= off.length / 1000, 'more than one sample in 1000 differs');
    assert.notDeepEqual(Uint8Array.from(samples, Math.trunc), image.data);
  });

test('GFPGAN in its first form, and a file of another network, are refused by name', () => {
  const first = withNames(weightsOf('gfpgan', 'GFPGANv1.pth'), (name) =>
    name.replace(/^conv_body_first\./, 'conv_body_first.0.'),
  );
  assert.throws(() => readFaceRestorer(first), {
    code: 'model-unknown',
    message: /^GFPGANv1\.pth is GFPGAN v1 in its first form.*Take v1\.2, v1\.3 or v1\.4\.$/,
  });
  assert.throws(() => readFaceRestorer(weightsOf('parsenet')), {
    code: 'model-unknown',
    message:
      /parsenet\.pth is a ParseNet network, not a network that restores faces \(CodeFormer, GFPGAN, RestoreFormer\)/,
  });
  assert.equal(detectFaceNetwork(weightsOf('parsenet'))?.kind, 'parser');
});
