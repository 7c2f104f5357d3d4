/** Guidance by several prompts against its formula, with a network that is a sum. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ComposedModelOptions,
  type ComposedPrompt,
  composedModel,
} from '../../src/diffusion/composed-guidance.ts';
import type { Latent } from '../../src/diffusion/denoiser.ts';
import type { Condition, DenoiserInputs, Network } from '../../src/diffusion/guidance.ts';
import { noiseScheduleOf } from '../../src/diffusion/noise-schedule.ts';
import { samplers } from '../../src/diffusion/samplers/index.ts';
import { totalCalls } from '../../src/diffusion/total-calls.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';

const context = (...values: number[]): Condition => ({ context: float32([1, values.length, 1], values) });
const latent = (...values: number[]): Latent => float32([values.length, 1, 1, 1], values);

/** For each picture its channels and the context, summed: linear, so that results are known. */
function summing(): { readonly network: Network; readonly seen: DenoiserInputs[] } {
  const seen: DenoiserInputs[] = [];
  const network: Network = async (inputs) => {
    seen.push(inputs);
    const count = inputs.x.shape[0] ?? 0;
    const sum = (value: Tensor, i: number): number =>
      (value.data as Float32Array)
        .slice((i * value.data.length) / count, ((i + 1) * value.data.length) / count)
        .reduce((a, b) => a + b, 0);
    return latent(
      ...Array.from({ length: count }, (_, i) => sum(inputs.x, i) + (inputs.context ? sum(inputs.context, i) : 0)),
    );
  };
  return { network, seen };
}
const schedule = noiseScheduleOf({ betaSchedule: 'linear', timesteps: 10, linearStart: 0.001, linearEnd: 0.01 });
const modelOf = (network: Network, prompts: readonly ComposedPrompt[], more: Partial<ComposedModelOptions> = {}) =>
  composedModel({ network, schedule, parameterization: 'eps', promptsAt: () => prompts, scale: 2, ...more });

test('u + Σ weight · scale · (c - u), for each picture; contexts of one length are one batch', async () => {
  const { network, seen } = summing();
  const prompts = [
    {
      parts: [
        { condition: context(1), weight: 1 },
        { condition: context(3), weight: -0.5 },
      ],
      unconditional: context(0.5),
    },
    { parts: [{ condition: context(1, 1), weight: 1 }], unconditional: context(0) },
  ];
  const { data } = await modelOf(network, prompts).predict(latent(10, 20), 4);
  assert.deepEqual([...data], [10.5 + 2 * 0.5 - 2.5, 20 + 2 * 2]);
  assert.deepEqual(
    seen.map(({ context: given }) => given?.shape),
    [
      [4, 1, 1],
      [1, 2, 1],
    ],
  );
  assert.ok(seen.every(({ timesteps }) => timesteps.data.every((value) => value === 4)));
});

test('a batch is no larger than twice the pictures, however many prompts there are', async () => {
  const { network, seen } = summing();
  const parts = Array.from({ length: 5 }, (_, i) => ({ condition: context(i), weight: 0.1 }));
  await modelOf(network, [{ parts, unconditional: context(0) }]).predict(latent(1), 0);
  assert.deepEqual(
    seen.map(({ x }) => x.shape[0]),
    [2, 2, 2],
  );
});

test('at scale 1 prompts alone are run where each picture has one, of weight 1', async () => {
  const one = summing();
  const single = [{ parts: [{ condition: context(3), weight: 1 }], unconditional: context(9) }];
  assert.deepEqual([...(await modelOf(one.network, single, { scale: 1 }).predict(latent(1), 0)).data], [4]);
  assert.deepEqual(
    one.seen.map(({ x }) => x.shape[0]),
    [1],
  );
  const weighted = [{ parts: [{ condition: context(3), weight: 0.5 }], unconditional: context(9) }];
  assert.deepEqual(
    [...(await modelOf(summing().network, weighted, { scale: 1 }).predict(latent(1), 0)).data],
    [10 + 0.5 * -6],
  );
});

test('prompts are asked for by the number of the call', async () => {
  const calls: number[] = [];
  const model = composedModel({
    network: summing().network,
    schedule,
    parameterization: 'eps',
    promptsAt: (call) => {
      calls.push(call);
      return [{ parts: [{ condition: context(call), weight: 1 }], unconditional: context(0) }];
    },
  });
  const said = [
    await model.predict(latent(0), 9),
    await model.predict(latent(0), 5),
    await model.predict(latent(0), 5),
  ];
  assert.deepEqual(calls, [0, 1, 2]);
  assert.deepEqual(
    said.map(({ data }) => data[0]),
    [0, 1, 2],
  );
});

test('with guidance by an image: as for one prompt, and AND is refused', async () => {
  const single = [{ parts: [{ condition: context(3), weight: 1 }], unconditional: context(1) }];
  const byImage = { scale: 1.5, blank: latent(0) };
  // Neither 1 + 1, image 1 + 1 + 5, both 1 + 3 + 5.
  assert.deepEqual(
    [...(await modelOf(summing().network, single, { concat: latent(5), byImage }).predict(latent(1), 0)).data],
    [2 + 2 * 2 + 1.5 * 5],
  );
  const two = [
    {
      parts: [
        { condition: context(3), weight: 1 },
        { condition: context(4), weight: 1 },
      ],
      unconditional: context(1),
    },
  ];
  await assert.rejects(modelOf(summing().network, two, { concat: latent(5), byImage }).predict(latent(1), 0), {
    code: 'invalid-argument',
  });
  assert.throws(() => modelOf(summing().network, single, { scale: Number.NaN }), { code: 'invalid-argument' });
});

test('calls that A1111 expects: two in a step of its samplers of second order', () => {
  const second = samplers.filter((sampler) => totalCalls(sampler, 10) === 20).map(({ name }) => name);
  assert.deepEqual(second.sort(), ['dpm2', 'dpm2-ancestral', 'dpmpp-2s-ancestral', 'dpmpp-sde', 'heun', 'restart']);
});

test('the parts: the unconditional prediction beside the guided one, also at scale 1', async () => {
  const prompts = [{ parts: [{ condition: context(3), weight: 1 }], unconditional: context(0.5) }];
  for (const scale of [1, 2]) {
    const model = modelOf(summing().network, prompts, { scale });
    const parts = await model.predictParts?.(latent(10), 4);
    assert.deepEqual([...(parts?.guided.data ?? [])], [10.5 + scale * 2.5]);
    assert.deepEqual([...(parts?.unconditional.data ?? [])], [10.5]);
  }
  const byImage = { scale: 2, blank: undefined } as never;
  assert.equal(modelOf(summing().network, prompts, { byImage }).predictParts, undefined);
});
