/**
 * Variants of the networks that the recorded set does not have: outputs of the original classes, made by fixtures/network-variants/make.py,
 * with weights made from their names.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { modelConfig } from '../../src/config/model-config.ts';
import { type NetworkConfig, networkConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { networkParameters } from '../../src/models/index.ts';
import { forward } from '../../src/model/forward.ts';
import { elementCount, type Shape, type Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { compareTensor } from '../parity.ts';
import { reference } from '../reference.ts';
import { readTensors, type Tensors } from '../tensors.ts';

/** make.py's `fill`: fnv1a of the name, murmur3's finaliser over a Weyl sequence. */
function fill(name: string, shape: Shape): Tensor {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  const scale = Math.sqrt(3 / elementCount(shape.slice(1)));
  const data = Float32Array.from({ length: elementCount(shape) }, (_, i) => {
    let x = (seed + Math.imul(i, 0x9e3779b9)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    const v = ((x ^ (x >>> 16)) >>> 8) * 2 ** -23 - 1;
    if (shape.length >= 2) return v * scale;
    return name.endsWith('weight') ? 1 + 0.3 * v : 0.2 * v;
  });
  return { dtype: 'float32', shape, data };
}

interface Variant {
  readonly target: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly atol: Readonly<Record<string, number>>;
}

const variants: Readonly<Record<string, Variant>> = JSON.parse(
  readFileSync(reference('network-variants/cases.json'), 'utf8'),
);
const tensors = readTensors(reference('network-variants/tensors.safetensors'));
const engine = createNodeEngine({ threads: 1 });
after(() => engine.dispose());

function below(prefix: string): Tensors {
  return new Map(
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    ),
  );
}

for (const [name, { target, params, atol }] of Object.entries(variants)) {
  test(name, async () => {
    const config: NetworkConfig = networkConfigSchema.parse(modelConfig({ target, params }, name));
    const weights = memoryWeights(
      new Map(networkParameters(config).map((parameter) => [parameter.name, fill(parameter.name, parameter.shape)])),
    );
    const got = await forward({ engine, config, weights, inputs: below(`${name}/in/`) });
    const wanted = below(`${name}/out/`);
    assert.ok(wanted.size > 0);
    for (const [output, value] of wanted) {
      const found = got.get(output);
      assert.ok(found, `${output} was not made; there are ${[...got.keys()].join(', ')}`);
      compareTensor(
        { part: 'network-variants', case: name, output, reference: target, tolerance: atol[output] ?? 0 },
        found,
        value,
      );
    }
  });
}
