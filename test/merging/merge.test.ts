/** sd merge: files, names and refusals. The arithmetic is compared with A1111's in test/parity. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { writeFileAtomic } from '../../src/files/write-file-node.ts';
import { blockOf, blockRatios } from '../../src/merging/block-ratios.ts';
import { mergeCheckpoints } from '../../src/merging/merge-checkpoints.ts';
import { float32 } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { sd, temporaryFolder } from '../cli/run-cli.ts';

const inputBlock = 'model.diffusion_model.input_blocks.0.0.weight';
const outputBlock = 'model.diffusion_model.output_blocks.11.0.weight';

async function write(path: string, tensors: Readonly<Record<string, readonly [number[], number]>>): Promise<void> {
  const entries = Object.entries(tensors).map(([name, [shape]]) => ({ name, shape, dtype: 'float32' as const }));
  const chunks = writeSafetensors(entries, ({ name, shape }) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return float32(shape, new Float32Array(length).fill(tensors[name]?.[1] ?? 0));
  });
  await writeFileAtomic(path, chunks, {});
}

async function firstValue(path: string, name: string): Promise<number | undefined> {
  const source = await openWeightsAt(path);
  const { data } = await source.read(name);
  await source.close();
  return Number(data[0]);
}

test("two files are mixed, block ratios count, and the name is A1111's", async (context) => {
  const folder = temporaryFolder(context);
  const [a, b] = [join(folder, 'A.safetensors'), join(folder, 'B.safetensors')];
  await write(a, { [inputBlock]: [[2, 4, 1, 1], 1], [outputBlock]: [[2], 1], 'other.weight': [[1], 1] });
  await write(b, { [inputBlock]: [[2, 4, 1, 1], 5], [outputBlock]: [[2], 5], 'other.weight': [[1], 5] });
  const path = join(folder, 'out.safetensors');
  const ratios = Array.from({ length: 25 }, (_, i) => (i === 24 ? 1 : 0)).join();
  const { code, err } = await sd(['merge', a, b, '--ratio', '0.5', '--block-ratios', ratios, '-o', path]);
  assert.equal(code, 0, err);
  assert.equal(await firstValue(path, inputBlock), 1);
  assert.equal(await firstValue(path, outputBlock), 5);
  assert.equal(await firstValue(path, 'other.weight'), 1, 'names without "model" stay those of A');
  const again = await sd(['merge', a, b, '-o', path]);
  assert.notEqual(again.code, 0, 'an existing file stays');
  assert.equal(await firstValue(path, outputBlock), 5);
  assert.equal((await sd(['merge', a, b, '-o', path, '--force'])).code, 0);
  assert.equal(await firstValue(path, outputBlock), 3);
});

test('other architectures, too few files and an inpainting model as B are refused in one line', async (context) => {
  const folder = temporaryFolder(context);
  const [plain, wide, other] = ['plain', 'inpaint', 'other'].map((name) => join(folder, `${name}.safetensors`)) as [
    string,
    string,
    string,
  ];
  await write(plain, { [inputBlock]: [[2, 4, 1, 1], 1] });
  await write(wide, { [inputBlock]: [[2, 9, 1, 1], 1] });
  await write(other, { [inputBlock]: [[3, 4, 1, 1], 1] });
  const path = join(folder, 'out.safetensors');
  const refused = async (...words: string[]): Promise<string> => {
    const { code, err } = await sd(['merge', ...words, '-o', path]);
    assert.notEqual(code, 0);
    return err;
  };
  assert.match(await refused(plain, wide), /make it the first \(A\).*\[weights-mismatch\]\n$/);
  assert.match(
    await refused(plain, other),
    /plain\.safetensors and .*other\.safetensors cannot be merged: .* Merge checkpoints of one architecture\. \[weights-mismatch\]\n$/,
  );
  const [control, vae] = [join(folder, 'canny.safetensors'), join(folder, 'vae.safetensors')];
  await write(control, { 'control_model.input_hint_block.0.weight': [[2, 3, 3, 3], 1] });
  assert.match(
    await refused(plain, control),
    /canny\.safetensors is .*not a checkpoint that can be merged with .*plain\.safetensors: they share no tensor/,
  );
  assert.match(await refused(plain, '--vae', control), /canny\.safetensors is .*not an autoencoder \(VAE\)/);
  const small = join(folder, 'small.safetensors');
  await write(small, {
    [inputBlock]: [[2, 4, 1, 1], 1],
    'first_stage_model.decoder.conv_in.weight': [[4, 4, 3, 3], 1],
  });
  await write(vae, {
    'decoder.conv_in.weight': [[8, 4, 3, 3], 1],
    'decoder.mid.block_1.conv1.weight': [[8, 8, 3, 3], 1],
  });
  assert.match(
    await refused(small, '--vae', vae),
    /cannot be baked in: first_stage_model\.decoder\.conv_in\.weight is \[4, 4, 3, 3\], and there \[8, 4, 3, 3\]/,
  );
  assert.match(await refused(plain, '--method', 'weighted-sum'), /needs 2 files, got 1/);
  assert.match(await refused(plain, wide, '--block-ratios', '1,2'), /25 numbers .* got 2/);
});

test('blocks of a checkpoint by name', () => {
  assert.equal(blockOf(inputBlock), 0);
  assert.equal(blockOf('model.diffusion_model.middle_block.1.norm.weight'), 12);
  assert.equal(blockOf(outputBlock), 24);
  assert.equal(blockOf('model.diffusion_model.time_embed.0.weight'), undefined);
  assert.equal(blockRatios(new Array<number>(25).fill(0.25), 0.75)('first_stage_model.x'), 0.75);
});

test('slerp goes along the arc between two tensors, as mergekit does', async () => {
  const cases = JSON.parse(
    readFileSync(fileURLToPath(new URL('../../fixtures/merging/slerp.json', import.meta.url)), 'utf8'),
  ) as readonly (readonly [ratio: number, a: readonly number[], b: readonly number[], made: readonly number[]])[];
  assert.equal(cases.length, 24);
  for (const [ratio, ...vectors] of cases) {
    const [a, b, wanted] = vectors.map((values) => float32([values.length], Float32Array.from(values)));
    if (!a || !b || !wanted) throw new Error('A case has three vectors.');
    const [first, second] = [a, b].map((value) => memoryWeights(new Map([['model.x', value]]), 'x')) as [
      WeightSource,
      WeightSource,
    ];
    const { weights } = mergeCheckpoints({ a: first, b: second, method: 'slerp', ratio });
    const { data } = await weights.read('model.x');
    for (const [i, value] of wanted.data.entries())
      assert.ok(
        Math.abs(Number(data[i]) - value) <= 1e-6 * Math.max(1, Math.abs(value)),
        `${ratio}: ${data} not ${wanted.data}`,
      );
  }
});
