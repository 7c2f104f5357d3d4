/**
 * GITS's levels, RenormCFG and the style adapter against what ComfyUI 0.3.64's own node code gave for the same inputs (PyTorch 2.13 on the CPU).
 * Levels are equal; tolerance 2e-6 for guidance and 2e-5 for the adapter's tokens, whose sums run in another order.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { detectNetwork } from '../../src/checkpoints/detect.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { NetworkPool } from '../../src/workflow/network-pool.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { guided } from '../../src/workflow/sampling/denoise.ts';
import { styleModelOf } from '../../src/workflow/style-model.ts';
import type { ConditioningValue } from '../../src/workflow/values/conditioning.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { maxDifference } from '../parity.ts';
import { nodeOf, noContext, type Packed, unpacked } from './recorded-nodes.ts';

interface Recorded {
  readonly gits: readonly {
    readonly coeff: number;
    readonly steps: number;
    readonly denoise: number;
    readonly sigmas: readonly number[];
  }[];
  readonly renorm: readonly ({ readonly cfg_trunc: number; readonly renorm_cfg: number } & Readonly<
    Record<'sigma' | 'scale', number>
  > &
    Readonly<Record<'x' | 'conditional' | 'unconditional' | 'guided', Packed>>)[];
  readonly style: {
    readonly weights: Readonly<Record<string, Packed>>;
    readonly seen: Packed;
    readonly text: Packed;
    readonly cases: readonly { readonly strength: number; readonly strength_type: string; readonly cond: Packed }[];
  };
}

const file = new URL('../../fixtures/comfyui/plain-nodes/levels-renorm-style.json.gz', import.meta.url);
const recorded = JSON.parse(gunzipSync(readFileSync(file)).toString()) as Recorded;

const networks = new NetworkPool(createNodeEngine({ threads: 1 }));
after(async () => {
  await networks.dispose();
  await networks.engine.dispose();
});

test('GITSScheduler gives its tables, between them and beyond them', async () => {
  for (const { sigmas, ...inputs } of recorded.gits) {
    const [found] = (await nodeOf('GITSScheduler').run(inputs, noContext)) as readonly [Float32Array];
    assert.deepEqual([...found], sigmas, JSON.stringify(inputs));
  }
  const outside = (): unknown => nodeOf('GITSScheduler').run({ coeff: 0.82, steps: 5, denoise: 1 }, noContext);
  assert.throws(outside, { code: 'invalid-argument', message: /no schedule for the coefficient 0\.82/ });
});

test('RenormCFG bounds the length of the guided prediction, below its level alone', async () => {
  for (const { cfg_trunc, renorm_cfg, sigma, scale, ...given } of recorded.renorm) {
    const model = { patches: {} } as ModelValue;
    const [{ patches }] = (await nodeOf('RenormCFG').run({ model, cfg_trunc, renorm_cfg }, noContext)) as [ModelValue];
    const [x, conditional, unconditional] = [given.x, given.conditional, given.unconditional].map(unpacked) as [
      Tensor<'float32'>,
      Tensor<'float32'>,
      Tensor<'float32'>,
    ];
    const none = () => Promise.reject(new Error('no further prediction is needed'));
    const call = { predict: none, predictPrompt: none, signal: undefined };
    const result = await guided(patches, { x, sigma, scale, conditional, unconditional }, call);
    // The original subtracts the result from x and x from that again.
    assert.ok(maxDifference(result, unpacked(given.guided)) < 4e-6, `${cfg_trunc} ${renorm_cfg} ${sigma}`);
  }
});

test('StyleModelApply puts the tokens of all pictures behind the text', async () => {
  const { weights, seen, text, cases } = recorded.style;
  const source = memoryWeights(
    new Map(Object.entries(weights).map(([name, value]) => [name, unpacked(value)])),
    'style.safetensors',
  );
  const style_model = styleModelOf(detectNetwork(source));
  for (const { strength, strength_type, cond } of cases) {
    const inputs = {
      conditioning: [{ cond: unpacked(text) }],
      style_model,
      clip_vision_output: { last_hidden_state: unpacked(seen) },
      strength,
      strength_type,
    };
    const [found] = (await nodeOf('StyleModelApply').run(inputs, { networks } as unknown as NodeContext)) as [
      ConditioningValue,
    ];
    const own = found[0]?.cond as Tensor<'float32'>;
    assert.deepEqual([...own.shape], cond.shape);
    assert.ok(maxDifference(own, unpacked(cond)) < 2e-5, `${strength} ${strength_type}`);
  }
});
