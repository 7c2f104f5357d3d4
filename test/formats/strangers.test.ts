/** Files of other kinds under the names that people have them by: each is named, with what to do. */

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openWeights } from '../../src/formats/open-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { temporaryFolder } from '../cli/run-cli.ts';

/** A zip's local header for a first file. */
function zipHead(name: string): string {
  const head = Buffer.alloc(30);
  head.write('PK\x03\x04', 'latin1');
  head.writeUInt16LE(name.length, 26);
  return head.toString('latin1') + name;
}

const rows: readonly (readonly [name: string, bytes: string, code: string, said: RegExp])[] = [
  ['a.safetensors', '<!DOCTYPE html><html>', 'file-corrupt', /a web page saved under this name/],
  ['a.safetensors', '<?xml version="1.0"?><Error>', 'file-corrupt', /a web page saved under this name/],
  [
    'a.safetensors',
    '{"error":"Invalid credentials in Authorization header"}',
    'file-corrupt',
    /a text saved under this name \("\{.*Invalid.*download failed/,
  ],
  [
    'a.safetensors',
    'Entry not found',
    'file-corrupt',
    /a text saved under this name \("Entry not found"\): the download failed/,
  ],
  [
    'a.gguf',
    'Access to model x is restricted. You must be logged in.',
    'file-corrupt',
    /a text saved under this name \("Access/,
  ],
  ['a.ckpt', 'Entry not found', 'file-corrupt', /a text \("Entry not found"\), not weights/],
  [
    'a.ckpt',
    'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4265380512\n',
    'file-corrupt',
    /Git LFS pointer.* 4265380512 bytes/,
  ],
  ['a.safetensors.part', '\x10\0\0\0\0\0\0\0{"a"', 'file-truncated', /unfinished download/],
  ['a.safetensors.crdownload', '\x10\0\0\0\0\0\0\0{"a"', 'file-truncated', /unfinished download/],
  ['a.ckpt.aria2', '\0\x01\0\0', 'file-truncated', /unfinished download/],
  [
    'a.zip',
    zipHead('v1-5.safetensors'),
    'file-unsupported',
    /a zip archive that begins with "v1-5\.safetensors"; unpack it first/,
  ],
  [
    'a.safetensors',
    zipHead('models/v1-5.ckpt'),
    'file-unsupported',
    /a zip archive that begins with "models\/v1-5\.ckpt"/,
  ],
  ['a.ckpt', zipHead('README.txt'), 'file-unsupported', /a zip archive that begins with "README\.txt"/],
  ['fid.npz', zipHead('mu.npy'), 'file-unsupported', /a NumPy archive/],
  [
    'unet.onnx',
    '\x08\x07\x12\x07pytorch\x1a\x052.0.0',
    'file-unsupported',
    /an ONNX model.*get the weights as \.safetensors/,
  ],
  ['unet.bin', '\x08\x09\x12\x0aonnx.utils', 'file-unsupported', /an ONNX model/],
  [
    'openvino_model.xml',
    '<?xml version="1.0"?>\n<net name="Model0" version="11">',
    'file-unsupported',
    /a model of OpenVINO/,
  ],
  ['unet/openvino_model.bin', '\x86\xe7\xef', 'file-unsupported', /weights of an OpenVINO model/],
  ['unet.engine', 'xxrt\x01', 'file-unsupported', /an engine of TensorRT/],
  ['unet.plan2', 'ftrt\x01', 'file-unsupported', /an engine of TensorRT/],
  ['unet.mlmodel', '\x08\x05\x12\x01', 'file-unsupported', /a model of Core ML/],
  ['m.tflite', '\x1c\0\0\0TFL3', 'file-unsupported', /TensorFlow Lite/],
  ['flax_model.msgpack', '\x82\xa6params\x81', 'file-unsupported', /a Flax file/],
  ['a.h5', '\x89HDF\r\n', 'file-unsupported', /HDF5/],
  ['a.ckpt', '\0\0\0\0\0\0\0\0\0\0', 'file-corrupt', /nothing but zeros/],
  ['a.torrent', 'd8:announce35:http', 'file-unsupported', /a torrent/],
  ['a.pt', '\x1f\x8b\x08', 'file-unsupported', /gzip; unpack it first/],
];

for (const [name, text, code, said] of rows)
  test(`${name} that begins with ${JSON.stringify(text.slice(0, 24))}`, async () => {
    const bytes = Buffer.from(text, 'latin1');
    await assert.rejects(openWeights(memoryBytes(new Uint8Array(bytes), name)), { code, message: said });
  });

test('folders of other programs are named', async (context) => {
  const folder = temporaryFolder(context);
  for (const [name, file] of [
    ['unet', 'openvino_model.xml'],
    ['onnx', 'model.onnx'],
    ['unet.mlpackage', 'Manifest.json'],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, file), 'x');
    await assert.rejects(openWeightsAt(join(folder, name)), {
      code: 'file-unsupported',
      message: new RegExp(`${file.replace('.', '\\.')}\\), which is not supported; get the weights as \\.safetensors`),
    });
  }
});
