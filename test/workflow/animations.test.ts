/** Batches as moving pictures: their frames, times and texts as the specifications and ComfyUI's nodes have them. */

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { nodeImageCodec } from '../../src/image/codec/codec-node.ts';
import { decodeFrames } from '../../src/image/codec/frames-node.ts';
import { encodePngChunk, encodePngFile, isIntact, pngChunks } from '../../src/image/metadata/png-chunks.ts';
import { webpChunks } from '../../src/image/metadata/webp-chunks.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { openWorkflowFiles, workflowFolders } from '../../src/workflow/context-node.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { nodeOf } from './recorded-nodes.ts';

const root = mkdtempSync(join(tmpdir(), 'sd-animations-'));
after(() => rmSync(root, { recursive: true, force: true }));
const prompt = new Map([['1', { class_type: 'SaveAnimatedPNG', inputs: {} }]]);
const context = {
  files: openWorkflowFiles(workflowFolders(root)),
  codec: nodeImageCodec,
  prompt,
  extraPngInfo: { workflow: { id: 'é' } },
  isFloatInput: () => false,
} as unknown as NodeContext;
const [width, height, frames] = [6, 5, 3];
const images = float32(
  [frames, height, width, 3],
  Float32Array.from({ length: frames * height * width * 3 }, (_, i) => ((i * 37) % 256) / 255),
);
const bytes = images.data.map((value) => Math.trunc(Math.fround(255 * value)));

async function saved(name: string, inputs: object): Promise<{ readonly ui: object; readonly file: Uint8Array }> {
  const made = (await nodeOf(name).run({ images, filename_prefix: 'v/x', ...inputs }, context)) as {
    readonly ui: { readonly images: readonly { readonly filename: string }[]; readonly animated: readonly boolean[] };
  };
  const { images: files, animated } = made.ui;
  return { ui: { files, animated }, file: readFileSync(join(root, 'output/v', files[0]?.filename ?? '')) };
}

test('SaveAnimatedPNG writes frames, their times and the graph behind the pixels', async () => {
  const { ui, file } = await saved('SaveAnimatedPNG', { fps: 12, compress_level: 4 });
  assert.deepEqual(ui, { files: [{ filename: 'x_00001_.png', subfolder: 'v', type: 'output' }], animated: [true] });
  const chunks = [...pngChunks(file)];
  assert.ok(chunks.every(isIntact));
  const dataOf = (type: string) => chunks.filter((chunk) => chunk.type === type).map(({ data }) => Buffer.from(data));
  assert.deepEqual([...(dataOf('acTL')[0] ?? [])], [0, 0, 0, frames, 0, 0, 0, 0]);
  const controls = dataOf('fcTL');
  assert.deepEqual(
    controls.map((data) => [data.readUInt32BE(4), data.readUInt32BE(8), data.readUInt16BE(20), data.readUInt16BE(22)]),
    Array(frames).fill([width, height, 83, 1000]),
  );
  const numbers = chunks.flatMap(({ type, data }) =>
    /fcTL|fdAT/.test(type) ? [Buffer.from(data).readUInt32BE(0)] : [],
  );
  assert.deepEqual(
    numbers,
    Array.from(numbers, (_, i) => i),
  );
  assert.deepEqual(dataOf('comf').map(String), [
    'prompt\0{"1": {"class_type": "SaveAnimatedPNG", "inputs": {}}}',
    'workflow\0{"id": "\\u00e9"}',
  ]);
  // Each frame as a picture of its own.
  const header = encodePngChunk('IHDR', dataOf('IHDR')[0] ?? new Uint8Array());
  const pixels = [Buffer.concat(dataOf('IDAT')), ...dataOf('fdAT').map((data) => data.subarray(4))];
  assert.equal(pixels.length, frames);
  for (const [i, data] of pixels.entries()) {
    const end = encodePngChunk('IEND', new Uint8Array());
    const { data: shown } = await nodeImageCodec.decode(encodePngFile([header, encodePngChunk('IDAT', data), end]));
    assert.deepEqual([...shown], [...bytes.slice(i * shown.length, (i + 1) * shown.length)]);
  }
});

test('SaveAnimatedWEBP writes frames, their times and the graph in EXIF', async () => {
  const { ui, file } = await saved('SaveAnimatedWEBP', { fps: 6, lossless: true, quality: 80, method: 'default' });
  assert.deepEqual(ui, { files: [{ filename: 'x_00002_.webp', subfolder: 'v', type: 'output' }], animated: [true] });
  const found = await decodeFrames(file);
  assert.equal(found.frames.length, frames);
  const colours = found.frames.flatMap(({ data }) => [...data].filter((_, i) => i % 4 < 3));
  assert.deepEqual(colours, [...bytes]);
  const times = [...webpChunks(file)].flatMap(([type, data]) =>
    type === 'ANMF' ? [Buffer.from(data).readUIntLE(12, 3)] : [],
  );
  assert.deepEqual(times, [166, 166, 166]);
  const exif = [...webpChunks(file)].find(([type]) => type === 'EXIF')?.[1];
  assert.match(Buffer.from(exif ?? []).toString(), /workflow:\{"id": "\\u00e9"\}\0+prompt:\{"1": /);
});

test('one frame alone makes a plain picture', async () => {
  const one = float32([1, height, width, 3], images.data.slice(0, height * width * 3));
  const png = await saved('SaveAnimatedPNG', { images: one, fps: 6, compress_level: 4 });
  assert.ok(![...pngChunks(png.file)].some(({ type }) => type === 'acTL'));
  const webp = await saved('SaveAnimatedWEBP', { images: one, fps: 6, lossless: false, quality: 0, method: 'fastest' });
  assert.deepEqual(webp.ui, {
    files: [{ filename: 'x_00004_.webp', subfolder: 'v', type: 'output' }],
    animated: [false],
  });
  assert.equal((await nodeImageCodec.decode(webp.file)).width, width);
});
