/** Small files that describe much: refused by what they describe, soon and in little memory. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseYaml } from '../../src/config/yaml.ts';
import { memoryBytes } from '../../src/files/byte-source.ts';
import { openZip } from '../../src/files/zip.ts';
import { openSafetensors } from '../../src/formats/safetensors.ts';

function safetensors(header: string): ReturnType<typeof memoryBytes> {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return memoryBytes(bytes, 'evil.safetensors');
}

test('a header of very many tensors, sizes or notes is refused', async () => {
  const tensors = Array.from({ length: 110_000 }, (_, i) => `"${i}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
  await assert.rejects(openSafetensors(safetensors(`{${tensors.join()}}`)), { code: 'too-large' });
  const rank = Array(100_000).fill(1).join();
  await assert.rejects(openSafetensors(safetensors(`{"a":{"dtype":"U8","shape":[${rank}],"data_offsets":[0,1]}}`)), {
    code: 'file-corrupt',
    message: /more than 64/,
  });
  const notes = Array.from({ length: 410_000 }, (_, i) => `"${i}":""`).join();
  await assert.rejects(openSafetensors(safetensors(`{"__metadata__":{${notes}}}`)), { code: 'too-large' });
});

test('YAML of very many values is refused; keys are unique without comparing each with all', () => {
  const keys = (count: number): string => Array.from({ length: count }, (_, i) => `k${i}: ${i}`).join('\n');
  assert.equal(Object.keys(parseYaml(keys(8000), 'x.yaml') as object).length, 8000);
  for (const text of [keys(25_000), keys(90_000), `a: [${Array(60_000).fill(1).join()}]`])
    assert.throws(() => parseYaml(text, 'x.yaml'), { code: 'config-invalid', message: /x\.yaml/ });
  assert.throws(() => parseYaml(`${keys(8000)}\nk0: 1`, 'x.yaml'), { code: 'config-invalid', message: /unique/ });
});

/** A zip of two stored records, the first with an extra field in its local header alone. */
function zipWithExtra(extra: number): Uint8Array {
  const parts: number[] = [];
  const u16 = (value: number): number[] => [value & 255, value >> 8];
  const u32 = (value: number): number[] => [...u16(value & 0xffff), ...u16(value >>> 16)];
  const entry = (name: string, offset: number): number[] => [
    ...u32(0x02014b50),
    ...u16(20),
    ...u16(20),
    ...Array(8).fill(0),
    ...u32(0),
    ...u32(4),
    ...u32(4),
    ...u16(1),
    ...Array(12).fill(0),
    ...u32(offset),
    ...[...name].map((c) => c.charCodeAt(0)),
  ];
  const local = (name: string, extraLength: number): number[] => [
    ...u32(0x04034b50),
    ...u16(20),
    ...Array(8).fill(0),
    ...u32(0),
    ...u32(4),
    ...u32(4),
    ...u16(1),
    ...u16(extraLength),
    ...[...name].map((c) => c.charCodeAt(0)),
  ];
  parts.push(...local('a', extra), 1, 2, 3, 4);
  const second = parts.length;
  parts.push(...local('b', 0), 5, 6, 7, 8);
  const directory = parts.length;
  parts.push(...entry('a', 0), ...entry('b', second));
  parts.push(
    ...u32(0x06054b50),
    0,
    0,
    0,
    0,
    ...u16(2),
    ...u16(2),
    ...u32(parts.length - directory),
    ...u32(directory),
    0,
    0,
  );
  return Uint8Array.from(parts);
}

test('a record whose local header leads into the next record is refused', async () => {
  const honest = await openZip(memoryBytes(zipWithExtra(0), 'a.zip'));
  const [first] = [...honest.records.values()];
  assert.ok(first);
  assert.deepEqual([...(await honest.read(first))], [1, 2, 3, 4]);
  const lying = await openZip(memoryBytes(zipWithExtra(35), 'a.zip'));
  const [record] = [...lying.records.values()];
  assert.ok(record);
  await assert.rejects(lying.read(record), { code: 'file-corrupt', message: /what follows it/ });
});
