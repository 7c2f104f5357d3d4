/** Faces by CodeFormer and GFPGAN in the A1111 routes, with small networks: the detector finds the same faces in every picture. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createNodeEngine } from '../../src/engine/node.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { correctColors } from '../../src/image/color-correction.ts';
import type { Image } from '../../src/image/image.ts';
import { readFaceDetector, readFaceParser, readFaceRestorer } from '../../src/models/faces/index.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';
import { createFaceRestorer, restoreFaces } from '../../src/upscaling/faces/restore-faces.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { temporaryFolder } from '../cli/run-cli.ts';
import { generateWeights } from '../generated-weights.ts';
import { base64Png, decode, startTestServer, testImage } from './start.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/faces', import.meta.url));

/**
 * Two boxes for each place of the coarsest level: only the second is a face, with eyes, nose and mouth about its centre. It is four times as
 * wide as the level's, so that all but two of them lie on a surer one: each face is a run of two or three networks.
 */
const biases: Readonly<Record<string, readonly number[]>> = {
  'ClassHead.0.conv1x1.bias': [9, -9, 9, -9],
  'ClassHead.1.conv1x1.bias': [9, -9, 9, -9],
  'ClassHead.2.conv1x1.bias': [9, -9, -9, 9],
  'BboxHead.2.conv1x1.bias': [0, 0, 0, 0, 0, 0, Math.log(4) / 0.2, Math.log(4) / 0.2],
  'LandmarkHead.2.conv1x1.bias': [...Array(10).fill(0), -1, -1, 1, -1, 0, 0, -0.8, 1, 0.8, 1],
};

/** RetinaFace with a thirty-second of its channels. Its weights are 0, so that its biases alone decide. */
function smallDetector(): ReadonlyMap<string, Tensor> {
  const { tensors } = JSON.parse(readFileSync(join(fixtures, 'retinaface.json'), 'utf8')) as {
    readonly tensors: readonly (readonly [name: string, shape: readonly number[]])[];
  };
  const weights = new Map<string, Tensor>();
  for (const [name, shape] of tensors) {
    const isBody = name.startsWith('body.');
    const small = shape.map((size, axis) => {
      if (axis > 1 || size === 3 || (axis === 0 && name.includes('Head.'))) return size;
      return size / (isBody || (name.startsWith('fpn.output') && axis === 1) ? 32 : 8);
    });
    weights.set(name, float32(small, Float32Array.from(biases[name] ?? Array(elementCount(small)).fill(0))));
    const scope = name.replace(/\.weight$/, '');
    if (shape.length > 1 || scope === name) continue;
    weights.set(`${scope}.running_mean`, float32(small, new Float32Array(small[0] ?? 0)));
    weights.set(`${scope}.running_var`, float32(small, new Float32Array(small[0] ?? 0).fill(1)));
  }
  return weights;
}

const detector = memoryWeights(smallDetector(), 'detection_Resnet50_Final.pth');
const restorer = memoryWeights(generateWeights(join(fixtures, 'codeformer.json')), 'codeformer.pth');
const gfpgan = memoryWeights(generateWeights(join(fixtures, 'gfpgan.json')), 'GFPGANv1.4.pth');
const parser = memoryWeights(generateWeights(join(fixtures, 'parsenet.json')), 'parsing_parsenet.pth');

/** What the library makes of the picture, with the networks given. */
async function restored(
  image: Image<3>,
  settings: { readonly weight: number; readonly visibility?: number },
  networks: { readonly restorer: WeightSource; readonly parser?: WeightSource } = { restorer },
) {
  const engine = createNodeEngine({ threads: 1 });
  const faces = createFaceRestorer(engine, {
    detector: readFaceDetector(detector),
    restorer: readFaceRestorer(networks.restorer),
    ...(networks.parser ? { parser: readFaceParser(networks.parser) } : {}),
  });
  const made = await restoreFaces(image, faces, settings);
  await engine.dispose();
  assert.equal(made.faces, 2);
  assert.notDeepEqual(made.image.data, image.data);
  return made.image.data;
}

const picture = testImage(64, 64);
const extras = { image: await base64Png(picture), upscaler_1: 'Nearest', upscaling_resize: 1 };
const prompt = { prompt: 'a face', seed: 1, steps: 1, width: 64, height: 64 };
interface Made {
  readonly images: readonly string[];
  readonly info: string;
}
const infoOf = (body: Made) => JSON.parse(body.info) as Readonly<Record<string, unknown>>;

async function writeNetworks(folder: string, sources: Readonly<Record<string, WeightSource>>): Promise<void> {
  for (const [name, source] of Object.entries(sources))
    await writeFileAtomic(
      join(folder, `${name}.safetensors`),
      writeSafetensors(source.entries.values(), (entry) => source.read(entry.name)),
    );
}

test('without the networks, codeformer_visibility is refused and restore_faces is reported', async (context) => {
  const server = await startTestServer();
  context.after(() => server.stop());
  assert.deepEqual((await server.json('GET', '/sdapi/v1/face-restorers')).body, []);
  const refused = await server.json('POST', '/sdapi/v1/extra-single-image', { ...extras, codeformer_visibility: 1 });
  assert.equal(refused.status, 422);
  assert.match(JSON.stringify(refused.body), /codeformer_visibility.*detection_Resnet50_Final\.pth/);
  const gfpgan = await server.json('POST', '/sdapi/v1/extra-single-image', { ...extras, gfpgan_visibility: 1 });
  assert.equal(gfpgan.status, 422);
  assert.match(JSON.stringify(gfpgan.body), /gfpgan_visibility.*GFPGAN needs GFPGANv1\.4\.pth/);
  const { body } = await server.json('POST', '/sdapi/v1/txt2img', { ...prompt, restore_faces: true });
  assert.match(String(infoOf(body)['warnings']), /^restore_faces needs codeformer\.pth/);
  assert.doesNotMatch(String(infoOf(body)['infotexts']), /Face restoration/);
  const script = { script_name: 'prompt matrix', script_args: [] };
  const matrix = await server.json('POST', '/sdapi/v1/txt2img', { ...prompt, ...script, restore_faces: true });
  assert.match(String(infoOf(matrix.body)['warnings']), /^restore_faces needs codeformer\.pth/);
});

test('with the networks, the routes restore faces as the library does', async (context) => {
  const folder = temporaryFolder(context);
  await writeNetworks(folder, { detector, restorer });
  const server = await startTestServer({ annotatorFolders: [folder] });
  context.after(() => server.stop());
  const ask = async (path: string, request: object): Promise<Made & { readonly image: string }> => {
    const { status, body } = await server.json('POST', `/sdapi/v1/${path}`, request);
    assert.equal(status, 200, JSON.stringify(body).slice(0, 300));
    return body;
  };
  const restorers = await server.json('GET', '/sdapi/v1/face-restorers');
  assert.deepEqual(restorers.body, [{ name: 'CodeFormer', cmd_dir: null }]);
  const half = await ask('extra-single-image', { ...extras, codeformer_visibility: 0.5, codeformer_weight: 0.7 });
  assert.deepEqual((await decode(half.image)).data, await restored(picture, { weight: 0.7, visibility: 0.5 }));

  const plain = await ask('txt2img', prompt);
  const before = (await decode(plain.images[0] ?? '')) as Image<3>;
  const override_settings = { code_former_weight: 0.2 };
  const made = await ask('txt2img', { ...prompt, restore_faces: true, override_settings });
  assert.deepEqual((await decode(made.images[0] ?? '')).data, await restored(before, { weight: 0.2 }));
  const info = infoOf(made);
  assert.deepEqual([info['restore_faces'], info['face_restoration_model']], [true, 'CodeFormer']);
  assert.deepEqual(info['warnings'], []);
  assert.match(String(info['infotexts']), /Seed: 1, Face restoration: CodeFormer, Size: 64x64/);
  const other = { ...prompt, restore_faces: true, override_settings: { face_restoration_model: 'GFPGAN' } };
  assert.match(String(infoOf(await ask('txt2img', other))['warnings']), /^restore_faces needs GFPGANv1\.4\.pth/);
  const unknown = { ...prompt, restore_faces: true, override_settings: { face_restoration_model: 'FaceFixer' } };
  assert.match(String(infoOf(await ask('txt2img', unknown))['warnings']), /FaceFixer is not supported/);

  // As modules/processing.py: faces first, then the colours.
  const from = { ...prompt, init_images: [extras.image], denoising_strength: 0.9 };
  const drawn = (await decode((await ask('img2img', from)).images[0] ?? '')) as Image<3>;
  const both = {
    ...from,
    restore_faces: true,
    override_settings: { code_former_weight: 0.2, img2img_color_correction: true },
  };
  const faces = { ...drawn, data: await restored(drawn, { weight: 0.2 }) };
  const corrected = correctColors(faces, picture);
  assert.deepEqual((await decode((await ask('img2img', both)).images[0] ?? '')).data, corrected.data);
});

test('GFPGAN restores before CodeFormer, both along the outline that ParseNet finds', async (context) => {
  const folder = temporaryFolder(context);
  await writeNetworks(folder, { detector, restorer, gfpgan, parser });
  const server = await startTestServer({ annotatorFolders: [folder] });
  context.after(() => server.stop());
  const restorers = await server.json('GET', '/sdapi/v1/face-restorers');
  assert.deepEqual(restorers.body, [
    { name: 'CodeFormer', cmd_dir: null },
    { name: 'GFPGAN', cmd_dir: null },
  ]);
  const asked = { ...extras, gfpgan_visibility: 0.8, codeformer_visibility: 1, codeformer_weight: 0.3 };
  const ask = async (path: string, request: object): Promise<Made & { readonly image: string }> => {
    const { status, body } = await server.json('POST', `/sdapi/v1/${path}`, request);
    assert.equal(status, 200, JSON.stringify(body).slice(0, 300));
    return body;
  };
  const { image } = await ask('extra-single-image', asked);
  const first = await restored(picture, { weight: 0.5, visibility: 0.8 }, { restorer: gfpgan, parser });
  const both = await restored({ ...picture, data: first }, { weight: 0.3 }, { restorer, parser });
  assert.deepEqual((await decode(image)).data, both);

  const override_settings = { face_restoration_model: 'GFPGAN' };
  const made = await ask('txt2img', { ...prompt, restore_faces: true, override_settings });
  const before = (await decode((await ask('txt2img', prompt)).images[0] ?? '')) as Image<3>;
  const wanted = await restored(before, { weight: 0.5 }, { restorer: gfpgan, parser });
  assert.deepEqual((await decode(made.images[0] ?? '')).data, wanted);
  const info = infoOf(made);
  assert.equal(info['face_restoration_model'], 'GFPGAN');
  assert.match(String(info['infotexts']), /Face restoration: GFPGAN/);
});
