/** Faces: CodeFormer, RetinaFace and facexlib's helper against the originals (`faces-golden.py`). */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { createImage, type Image } from '../../src/image/image.ts';
import { warpAffine } from '../../src/image/opencv/warp-affine.ts';
import { readFaceDetector, readFaceRestorer } from '../../src/models/faces/index.ts';
import { createAnnotator } from '../../src/preprocessors/annotate.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { alignment } from '../../src/upscaling/faces/align-face.ts';
import { findFaces, type Point } from '../../src/upscaling/faces/find-faces.ts';
import { pasteFace } from '../../src/upscaling/faces/paste-face.ts';
import { createFaceRestorer, restoreFaces } from '../../src/upscaling/faces/restore-faces.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';
import { generateNormalisedWeights, generateWeights } from '../generated-weights.ts';
import { compareTensor } from '../parity.ts';
import { pick, readTensors } from '../tensors.ts';

const folder = fileURLToPath(new URL('../../fixtures/faces', import.meta.url));
const recorded = readTensors(join(folder, 'faces.safetensors'));
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

const codeFormer = memoryWeights(generateWeights(join(folder, 'codeformer.json')), 'codeformer.pth');
const retinaFace = memoryWeights(
  generateNormalisedWeights(join(folder, 'retinaface.json')),
  'detection_Resnet50_Final.pth',
);

function assertClose(made: Tensor | undefined, name: string, tolerance = 1e-3): void {
  compareTensor(
    { part: 'faces', case: name, output: name, reference: 'faces-golden.py', tolerance },
    made as Tensor,
    pick(recorded, name),
  );
}

function imageOf(name: string): Image<3> {
  const { shape, data } = pick(recorded, name);
  const [height = 1, width = 1] = shape;
  return createImage(width, height, 3, Uint8Array.from(data as Uint8Array));
}

/** OpenCV 5, which recorded these, interpolates between exact places; OpenCV 4, as here, between those in 1/32 pixel: at most 8 of 255 levels. */
function assertPicture(made: Image<3>, name: string, levels: number, share: number): void {
  const wanted = imageOf(name);
  assert.deepEqual([made.width, made.height], [wanted.width, wanted.height]);
  const off = Array.from(made.data, (value, i) => Math.abs(value - (wanted.data[i] as number)));
  assert.ok(Math.max(...off) <= levels, `${name}: ${Math.max(...off)} levels off`);
  const differ = off.filter((value) => value > 0).length / off.length;
  assert.ok(differ <= share, `${name}: ${differ} of the samples differ`);
}

test('CodeFormer restores as the original, at every fidelity', async () => {
  const network = readFaceRestorer(codeFormer);
  assert.equal(network.side, 32);
  await using program = await engine.compile(network.trace(), network.weights);
  for (const weight of [0, 0.5, 1]) {
    const { out } = await program.run({ x: pick(recorded, 'codeformer.x'), w: float32([1], [weight]) });
    assertClose(out, `codeformer.out.${weight}`);
  }
});

test('RetinaFace says of a picture what the original says', async () => {
  await using network = createAnnotator(engine, { ...readFaceDetector(retinaFace), kind: 'detector' });
  const said = await network.run(pick(recorded, 'retinaface.x') as Tensor<'float32'>);
  for (const name of ['boxes', 'scores', 'landmarks']) assertClose(said[name], `retinaface.${name}`);
});

/** A detector that says the same of every picture. */
const said = {
  kind: 'said',
  async run({ shape }: Tensor<'float32'>) {
    const [, , height = 1, width = 1] = shape;
    const count = [8, 16, 32].reduce((sum, step) => sum + 2 * Math.ceil(height / step) * Math.ceil(width / step), 0);
    const rows = Array.from(pick(recorded, 'said.rows').data, Number);
    const all = (name: string, values: number): Tensor<'float32'> => {
      const data = new Float32Array(count * values);
      const given = pick(recorded, `said.${name}`).data as Float32Array;
      for (const [i, row] of rows.entries()) data.set(given.subarray(i * values, (i + 1) * values), row * values);
      return float32([1, count, values], data);
    };
    return { boxes: all('boxes', 4), scores: all('scores', 2), landmarks: all('landmarks', 10) };
  },
};

test('faces are found, cut out and put back where the original does', async () => {
  const picture = imageOf('picture');
  const faces = await findFaces(picture, said);
  // The original's score is scaled with the box.
  const scale = picture.height / 640;
  assertClose(
    float32(
      [faces.length, 5],
      faces.flatMap(({ box, score }) => [...box, score * scale]),
    ),
    'faces.boxes',
  );
  assertClose(
    float32(
      [faces.length, 5, 2],
      faces.flatMap(({ landmarks }) => landmarks.flat()),
    ),
    'faces.landmarks',
  );
  const landmarks = Array.from({ length: faces.length }, (_, i) =>
    Array.from({ length: 5 }, (_, point): Point => {
      const at = (axis: number): number => Number(pick(recorded, 'faces.landmarks').data[10 * i + 2 * point + axis]);
      return [at(0), at(1)];
    }),
  );
  const matrices = landmarks.map((points) => alignment(points, 64));
  assertClose(float32([faces.length, 2, 3], matrices.flat()), 'faces.matrices', 0.02);
  const samples = Float64Array.from(picture.data);
  for (const [i, matrix] of matrices.entries()) {
    const cut = warpAffine(picture, matrix, 64, 64, [132, 133, 135]);
    assertPicture(cut, `faces.cut.${i}`, 8, 0.4);
    pasteFace(samples, picture, { face: { ...cut, data: cut.data.map((value) => 255 - value) }, aligned: matrix });
  }
  const pasted = createImage(picture.width, picture.height, 3, Uint8Array.from(samples, Math.trunc));
  assertPicture(pasted, 'faces.pasted', 8, 0.4);
});

test('a face is restored in its place alone, as far as it is visible', async () => {
  const picture = imageOf('picture');
  const network = { detector: readFaceDetector(retinaFace), restorer: readFaceRestorer(codeFormer) };
  await using own = createFaceRestorer(engine, network);
  const restorer = { ...own, detector: { ...own.detector, ...said } };
  const made = await restoreFaces(picture, restorer, { weight: 0.7 });
  const half = await restoreFaces(picture, restorer, { weight: 0.7, visibility: 0.5 });
  assert.equal(made.faces, pick(recorded, 'faces.boxes').shape[0]);
  assert.notDeepEqual(made.image.data, picture.data);
  assert.deepEqual(made.image.data.subarray(-3), picture.data.subarray(-3));
  const mean = picture.data.map((value, i) => Math.trunc(value + 0.5 * ((made.image.data[i] as number) - value)));
  assert.deepEqual(half.image.data, mean);
  await assert.rejects(restoreFaces(picture, restorer, { weight: 2 }), { code: 'invalid-argument' });
});

test('sd restore-faces writes a picture without faces as it is, and names a file of another network', async (context) => {
  const to = temporaryFolder(context);
  const write = (name: string, source: typeof codeFormer) =>
    writeFileAtomic(
      join(to, name),
      writeSafetensors(source.entries.values(), ({ name: tensor }) => source.read(tensor)),
    );
  await write('codeformer.safetensors', codeFormer);
  const blank = createImage(64, 64, 3, new Uint8Array(64 * 64 * 3).fill(90));
  await writeFileAtomic(join(to, 'blank.png'), [await nodeImageCodec.encode(blank, { format: 'png' })]);
  const wrong = await sd([
    ...['restore-faces', join(to, 'blank.png'), '--model', join(to, 'codeformer.safetensors')],
    ...['--detector', join(to, 'codeformer.safetensors')],
  ]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /codeformer\.safetensors is a CodeFormer network, not a network that finds faces/);
  assert.match((await sd(['restore-faces', 'x.png', '--model', 'codeformer.pth'])).err, /--detector is required/);
});
