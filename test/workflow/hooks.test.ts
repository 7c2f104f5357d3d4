/**
 * Hooks: LoRAs for some entries of a conditioning, with keyframes, and entries that hold where no other does; on the model that comes with the
 * program. Keyframes are those that ComfyUI 0.3.64's own code chose at each level (`fixtures/comfyui/hook-keyframes.json`).
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { pocketModel } from '../../src/model/load-model-node.ts';
import { TorchGenerator } from '../../src/random/torch-generator.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { NodeContext } from '../../src/workflow/context-in-run.ts';
import { valuesOf } from '../../src/workflow/load-model.ts';
import { NetworkPool } from '../../src/workflow/network-pool.ts';
import { controlRun } from '../../src/workflow/sampling/control-inputs.ts';
import { activeHooks, hookRun } from '../../src/workflow/sampling/hook-strengths.ts';
import { predictPrompts } from '../../src/workflow/sampling/predict.ts';
import { regionsOf } from '../../src/workflow/sampling/regions.ts';
import type { ClipValue } from '../../src/workflow/values/clip.ts';
import type { ConditioningEntry, ConditioningValue } from '../../src/workflow/values/conditioning.ts';
import type { HookKeyframes, HooksValue } from '../../src/workflow/values/hooks.ts';
import type { ModelValue } from '../../src/workflow/values/model.ts';
import { maxDifference } from '../parity.ts';
import { writeStyleLora } from '../style-lora.ts';
import { nodeOf } from './recorded-nodes.ts';

const networks = new NetworkPool(createNodeEngine({ threads: 1 }));
const folder = await mkdtemp(join(tmpdir(), 'hooks-'));
after(async () => {
  await networks.dispose();
  await networks.engine.dispose();
  await rm(folder, { recursive: true });
});
let model: ModelValue;
let clip: ClipValue;
const file = join(folder, 'style.safetensors');
const context = { networks, files: { weights: () => openWeightsAt(file) } } as unknown as NodeContext;
before(async () => {
  await writeStyleLora(file);
  ({ model, clip } = valuesOf(await openCheckpointAt(pocketModel)));
});

/** The first output of a node. */
async function given<T>(name: string, inputs: Readonly<Record<string, unknown>>): Promise<T> {
  return ((await nodeOf(name).run(inputs, context)) as readonly unknown[])[0] as T;
}
const loraHook = (strength_model: number, more: object = {}): Promise<HooksValue> =>
  given('CreateHookLora', { lora_name: 'style', strength_model, strength_clip: 0, ...more });

const x = new TorchGenerator(5).randn([1, 4, 8, 8]);
const entry = (more: Partial<ConditioningEntry> = {}): ConditioningEntry => ({
  cond: new TorchGenerator(6).randn([1, 77, model.network.config.context_dim ?? 1]),
  ...more,
});
async function predicted(own: ModelValue, ...prompts: ConditioningValue[]): Promise<Tensor<'float32'>[]> {
  const run = { shape: x.shape, latent: x, random: new TorchGenerator(0), seed: 0 };
  const regions = await regionsOf(own, prompts, run);
  const regionsFor = () => Promise.reject(new Error('no other prompt'));
  return predictPrompts({ model: own, networks, controls: controlRun(), regionsFor }, regions, x, 3);
}
const differs = (a: Tensor | undefined, b: Tensor | undefined): number => maxDifference(a as Tensor, b as Tensor);

test('a LoRA by a hook acts on its entry alone, as the LoRA in the model acts on all', async () => {
  const lora = await given<ModelValue>('LoraLoaderModelOnly', { model, lora_name: 'style', strength_model: 0.7 });
  const [plain] = await predicted(model, [entry()]);
  const [whole] = await predicted(lora, [entry()]);
  assert.ok(differs(whole, plain) > 1e-3);
  const hooks = await loraHook(0.7);
  const hooked = await given<ConditioningValue>('ConditioningSetProperties', {
    cond_NEW: [entry()],
    strength: 1,
    set_cond_area: 'default',
    hooks,
  });
  const [positive, negative] = await predicted(model, hooked, [entry()]);
  assert.ok(differs(positive, whole) < 1e-5);
  assert.ok(differs(negative, plain) < 1e-5);
  const twice = await given<HooksValue>('CombineHooks2', { hooks_A: hooks, hooks_B: hooks });
  assert.equal(twice.length, 1);
  const halves = await loraHook(0.35, { prev_hooks: await loraHook(0.35) });
  const [added] = await predicted(model, [entry({ hooks: halves })]);
  assert.ok(differs(added, whole) < 1e-4);
});

test('a model as a LoRA of strength 1 is that model', async () => {
  const lora = await given<ModelValue>('LoraLoaderModelOnly', { model, lora_name: 'style', strength_model: 1 });
  const source = { kind: 'model', unet: lora.network.weights, encoders: [] } as const;
  const hooks: HooksValue = [{ holdsNetworks: true, ref: {}, source, strength: 1, clipStrength: 1 }];
  const [whole] = await predicted(lora, [entry()]);
  const [hooked] = await predicted(model, [entry({ hooks })]);
  assert.ok(differs(hooked, whole) < 1e-4);
});

test('keyframes hold at the levels at which they hold in ComfyUI', () => {
  const path = new URL('../../fixtures/comfyui/hook-keyframes.json', import.meta.url);
  const cases = JSON.parse(readFileSync(path, 'utf8')) as readonly {
    readonly label: string;
    readonly keyframes: readonly (readonly [number, number, number])[];
    readonly sigmas: readonly number[];
    readonly strengths: readonly number[];
  }[];
  const { percentToSigma } = model.sampling;
  for (const { label, keyframes: frames, sigmas, strengths } of cases) {
    const keyframes: HookKeyframes = frames.map(([strength, startPercent, guaranteedSteps]) => ({
      strength,
      startPercent,
      guaranteedSteps,
    }));
    const source = { kind: 'model', unet: model.network.weights, encoders: [] } as const;
    const hooks: HooksValue = [{ holdsNetworks: true, ref: {}, source, strength: 1, clipStrength: 1, keyframes }];
    const run = hookRun();
    run.first = sigmas[0];
    const found = sigmas.slice(0, -1).map((sigma) => {
      const [one] = activeHooks(hooks, run, sigma, percentToSigma);
      activeHooks(hooks, run, sigma, percentToSigma);
      return one?.strength;
    });
    assert.deepEqual(found, strengths, label);
  }
});

test('keyframes between strengths are spaced as in ComfyUI', async () => {
  const inputs = { strength_start: 1, strength_end: 0, start_percent: 0.1, end_percent: 0.9, keyframes_count: 5 };
  const found = await given<HookKeyframes>('CreateHookKeyframesInterpolated', {
    ...inputs,
    interpolation: 'ease_in_out',
  });
  const wanted = [1, 0.8535534, 0.5, 0.1464466, 0];
  for (const [i, { strength, startPercent, guaranteedSteps }] of found.entries()) {
    assert.ok(Math.abs(strength - (wanted[i] as number)) < 1e-6);
    assert.ok(Math.abs(startPercent - (0.1 + 0.2 * i)) < 1e-6);
    assert.equal(guaranteedSteps, i === 0 ? 1 : 0);
  }
});

test('a default entry holds where the masks of the others leave something, and nowhere else', async () => {
  const mask = (value: number) => float32([1, 8, 8], new Float32Array(64).fill(value));
  const other = entry({ cond: new TorchGenerator(9).randn(entry().cond.shape) });
  const [first] = await predicted(model, [entry()]);
  const [second] = await predicted(model, [other]);
  const withDefault = (value: number): Promise<ConditioningValue> =>
    given('ConditioningSetDefaultCombine', { cond: [entry({ mask: mask(value) })], cond_DEFAULT: [other] });
  const [full] = await predicted(model, await withDefault(1));
  assert.ok(differs(full, first) < 1e-5);
  const [half] = await predicted(model, await withDefault(0.25));
  const mean = { ...(first as Tensor<'float32'>) };
  const data = mean.data.map((value, i) => 0.25 * value + 0.75 * (second?.data[i] as number));
  assert.ok(differs(half, { ...mean, data }) < 1e-4);
});

test('hooks of a text encoder go to what it encodes; those with keyframes are refused on a schedule', async () => {
  const keyframes = await given('CreateHookKeyframe', { strength_mult: 0.5, start_percent: 0 });
  const hooks = await given<HooksValue>('SetHookKeyframes', { hooks: await loraHook(1), hook_kf: keyframes });
  const inputs = { clip, hooks, apply_to_conds: true };
  const own = await given<ClipValue>('SetClipHooks', { ...inputs, schedule_clip: false });
  const [encoded] = await given<ConditioningValue>('CLIPTextEncode', { clip: own, text: 'a cat' });
  assert.equal(encoded?.hooks, hooks);
  await assert.rejects(
    async () => given('SetClipHooks', { ...inputs, schedule_clip: true }),
    /schedule_clip is not supported for hooks with keyframes/,
  );
});
