/** Every algorithm of LyCORIS on a linear layer, a square one and a convolution, against the package's own merged weights (`lycoris-golden.py`). */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { deltaSizes, weightDelta } from '../../src/adapters/lora/lora-delta.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { asMatrix } from '../../src/adapters/lora/matrix-product.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { pick, readTensors } from '../tensors.ts';

const recorded = readTensors(fileURLToPath(new URL('../../fixtures/lycoris/lycoris.safetensors', import.meta.url)));
const layer = 'lora_unet_mid_block_attentions_0_proj_in';
const cases = [...recorded.keys()].flatMap((key) => /^(.+)=merged$/.exec(key)?.[1] ?? []);

function moduleOf(name: string, change: (key: string, value: Tensor) => Tensor = (_, value) => value) {
  const prefix = `${name}/`;
  const own = [...recorded].filter(([key]) => key.startsWith(prefix));
  const entries = own.map(([key, value]) => {
    const role = key.slice(prefix.length);
    return [`${layer}.${role}`, change(role, value)] as const;
  });
  const file = openLora(memoryWeights(new Map(entries), name));
  const [module] = file.modules;
  assert.ok(module && file.modules.length === 1 && file.unknown.length === 0, `${name}: ${file.unknown.join(', ')}`);
  return { file, module };
}

async function mergedBy(name: string, { file, module }: ReturnType<typeof moduleOf>): Promise<Float32Array> {
  const base = pick(recorded, `${name.split('/')[1]}.weight`) as Tensor<'float32'>;
  const weight = asMatrix(base);
  const { weight: size } = deltaSizes(file, module, [weight.rows, weight.columns]);
  assert.deepEqual(size, [weight.rows, weight.columns], name);
  const { matrix, scale } = await weightDelta(file, module, () => weight);
  return base.data.map((value, i) => value + scale * (matrix.data[i] as number));
}

assert.equal(cases.length, 60);
for (const name of cases)
  test(`${name} changes the weight as LyCORIS does`, async () => {
    const made = await mergedBy(name, moduleOf(name));
    const wanted = pick(recorded, `${name}=merged`).data as Float32Array;
    const off = Math.max(...made.map((value, i) => Math.abs(value - (wanted[i] as number))));
    assert.ok(off <= 2e-6, `${off} off`);
  });

test('GLoRA of LyCORIS 1 has its factors the other way round', async () => {
  for (const name of ['glora/linear', 'glora/square']) {
    // Its a1 is a2 of now, and b1 is b2: each applied from the other side.
    const names: Readonly<Record<string, string>> = {
      'a1.weight': 'a2.weight',
      'a2.weight': 'a1.weight',
      'b1.weight': 'b2.weight',
      'b2.weight': 'b1.weight',
    };
    const old = moduleOf(name, (role, value) => pick(recorded, `${name}/${names[role] ?? role}`) ?? value);
    assert.deepEqual(await mergedBy(name, old), await mergedBy(name, moduleOf(name)));
  }
});

test('oft_diag of LyCORIS 1 is the rotation itself', async () => {
  const rotation = float32([1, 2, 2], Float32Array.of(0, 1, -1, 0));
  const file = openLora(memoryWeights(new Map([[`${layer}.oft_diag`, rotation]]), 'oft'));
  const weight = { rows: 2, columns: 3, data: Float32Array.of(1, 2, 3, 4, 5, 6) };
  const [module] = file.modules;
  assert.ok(module);
  const { matrix, scale } = await weightDelta(file, module, () => weight);
  // Rᵀ W.
  assert.deepEqual(
    Array.from(matrix.data, (value, i) => scale * value + (weight.data[i] as number)),
    [-4, -5, -6, 1, 2, 3],
  );
});

test('factors that do not fit the layer, and half a module, are refused by name', async () => {
  const { file, module } = moduleOf('oft/linear');
  const weight = { rows: 12, columns: 4, data: new Float32Array(48) };
  assert.deepEqual(deltaSizes(file, module, [12, 4]).weight, [16, 4]);
  await assert.rejects(
    weightDelta(file, module, () => weight),
    {
      code: 'weights-mismatch',
      message:
        /^oft\/linear: the tensors of module mid_block_attentions_0_proj_in do not fit each other\. Blocks of \[4, 4, 4\] do not turn 12 rows\./,
    },
  );
  const ia3 = moduleOf('ia3/linear');
  assert.deepEqual(deltaSizes(ia3.file, ia3.module, [12, 5]).weight, [16, 1]);
  const half = openLora(
    memoryWeights(new Map([[`${layer}.a1.weight`, float32([3, 4], new Float32Array(12))]]), 'half.safetensors'),
  );
  assert.throws(() => deltaSizes(half, half.modules[0] as (typeof half.modules)[number]), {
    code: 'weights-mismatch',
    message: /half\.safetensors.*a1, which make no known adapter; some are missing/,
  });
  // Without on_input a weight is nobody's.
  const stray = [`${layer}.weight`, float32([4], new Float32Array(4))] as const;
  const mixed = openLora(
    memoryWeights(new Map([stray, [`${layer}.oft_diag`, float32([1, 2, 2], new Float32Array(4))]]), 'mixed'),
  );
  assert.deepEqual(mixed.unknown, [`${layer}.weight`]);
});
