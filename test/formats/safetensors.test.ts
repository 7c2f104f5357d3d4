/** `.safetensors`: what reading touches, and our writer. The recorded files are recorded cases (test/parity). */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { StableDiffusionError } from '../../src/errors.ts';
import { byteSize, dtypes } from '../../src/tensor/dtype.ts';
import { bytesOf, float32, fromBytes, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openWeights } from '../../src/formats/open-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { reference } from '../reference.ts';
import { pick, readTensors } from '../tensors.ts';

const folder = reference('files/safetensors');

const temporary = mkdtempSync(join(tmpdir(), 'sd-weights-'));
after(() => rmSync(temporary, { recursive: true }));

test('element types that no tensor can hold are refused by name', async () => {
  for (const dtype of ['F4', 'F6_E2M3', 'F8_E8M0', 'C64']) {
    const header = `{"w":{"dtype":"${dtype}","shape":[2],"data_offsets":[0,1]}}`;
    await assert.rejects(openWeights(memoryBytes(fileOf(header, 1), 'x.safetensors')), {
      code: 'file-unsupported',
      message: new RegExp(`"w".*${dtype}`),
    });
  }
});

test('a header that lies about its length allocates nothing', async () => {
  const reads: number[] = [];
  const read = async (_offset: number, length: number): Promise<Uint8Array> => {
    reads.push(length);
    return new Uint8Array(length).fill(0xff, 0, 8);
  };
  await assert.rejects(openWeights({ ...memoryBytes(new Uint8Array(0), 'x.safetensors'), size: 2 ** 40, read }), {
    code: 'file-corrupt',
  });
  assert.ok(Math.max(...reads) <= 512);
});

test('reading a tensor reads its bytes and no others', async () => {
  const path = join(folder, 'all-dtypes.safetensors');
  const source = await openWeightsAt(path);
  const bytes = readFileSync(path);
  for (const [name, { dtype, shape }] of source.entries) {
    const at = source.locate?.(name);
    assert.ok(at && at.path === path);
    assert.deepEqual(
      fromBytes(dtype, shape, new Uint8Array(bytes.subarray(at.offset, at.offset + at.length))),
      await source.read(name),
    );
  }
  await assert.rejects(source.read('missing'), { code: 'weights-mismatch' });
  await source.close();
});

const written = new Map<string, Tensor>([
  ...dtypes.map((dtype): [string, Tensor] => [
    `t.${dtype}`,
    fromBytes(dtype, [3, 1], new Uint8Array(3 * byteSize(dtype)).fill(1)),
  ]),
  ['empty', float32([0, 3], [])],
  ['__proto__ "猫"\n', float32([], [1.5])],
]);
const entries = [...written].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
const provide = ({ name }: { readonly name: string }): Tensor => pick(written, name);

test('what we write, a plain reader and our own read', async () => {
  const path = join(temporary, 'written.safetensors');
  await writeFileAtomic(path, writeSafetensors(entries, provide));
  const plain = readTensors(path);
  await writeFileAtomic(path, writeSafetensors(entries, provide, { metadata: { format: 'pt' } }));
  const source = await openWeightsAt(path);
  assert.equal(source.metadata?.get('format'), 'pt');
  assert.deepEqual([...source.entries.keys()].sort(), [...written.keys()].sort());
  for (const [name, value] of written) {
    assert.deepEqual(bytesOf(await source.read(name)), bytesOf(value));
    assert.deepEqual(plain.get(name)?.shape, value.shape);
    assert.equal((source.locate?.(name)?.offset ?? 1) % byteSize(value.dtype), 0, 'aligned');
  }
  await source.close();
});

test('a write that fails or is cancelled leaves the old file and nothing else', async () => {
  const path = join(temporary, 'kept.safetensors');
  writeFileSync(path, 'old');
  const before = readdirSync(temporary);
  const failing = writeSafetensors(entries, () => float32([1], [0]));
  await assert.rejects(writeFileAtomic(path, failing), { code: 'shape-mismatch' });
  const controller = new AbortController();
  const abort = (entry: { readonly name: string }): Tensor => {
    controller.abort();
    return provide(entry);
  };
  const cancelled = writeSafetensors(entries, abort, { signal: controller.signal });
  await assert.rejects(writeFileAtomic(path, cancelled), { code: 'aborted' });
  await assert.rejects(writeFileAtomic(join(temporary, 'no/such/folder'), []), { code: 'file-not-found' });
  await assert.rejects(
    writeFileAtomic(join(temporary, 'x'), writeSafetensors([{ name: '\ud800', dtype: 'bool', shape: [] }], provide)),
    StableDiffusionError,
  );
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(temporary), before);
});

function fileOf(header: string, dataLength: number): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}
