/** Adapters against PyTorch: LoRA (diffusers and PEFT), DreamBooth's prior preservation, textual inversion. */

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { clipTextConfigSchema, unetConfigSchema } from '../../src/config/network-config.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import { gradients } from '../../src/graph/gradients.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { textPrefix, traceAdapterLoss, unetPrefix } from '../../src/training/adapt/adapter-loss.ts';
import { withLoraPaths } from '../../src/training/adapt/lora-graph.ts';
import { loraPaths } from '../../src/training/adapt/lora-targets.ts';
import { withTokenRows } from '../../src/training/adapt/token-rows.ts';
import { createTrainStep } from '../../src/training/step/train-step.ts';
import { openLora } from '../../src/adapters/lora/lora-file.ts';
import { readFactors } from '../../src/adapters/lora/read-factors.ts';
import { type LoraFactors, loraTensors } from '../../src/adapters/lora/write-lora.ts';
import { withLora } from '../../src/adapters/lora/with-lora.ts';
import { memoryWeights } from '../../src/weights/memory-weights.ts';
import { openWeightsAt } from '../../src/formats/open-weights-node.ts';
import { joined, withPrefix } from '../../src/weights/view.ts';
import { reference } from '../reference.ts';
import { ldmSchedule } from './loss-unet.ts';
import { compareCase, readCase, readWeights } from './recorded-case.ts';

const engine = createNodeEngine({ threads: 2 });
after(() => engine.dispose());

const unet = unetConfigSchema.parse({ kind: 'unet', ...readCase('nets/unet_spatial_transformer').settings });
const unetWeights = memoryWeights(readWeights('nets/unet_spatial_transformer'), 'unet_spatial_transformer');
const diffusion = { schedule: ldmSchedule() };

/** Element `i` of the first axis. */
function at(value: Tensor, i: number): Tensor {
  const shape = value.shape.slice(1);
  const size = value.data.length / (value.shape[0] ?? 1);
  return tensor(value.dtype, shape, value.data.slice(i * size, (i + 1) * size) as never);
}

/** √ᾱ x0 + √(1 - ᾱ) noise. */
function noisy(x0: Tensor, noise: Tensor, t: Tensor): Tensor {
  const { sqrt_alphas_cumprod: signal, sqrt_one_minus_alphas_cumprod: rest } = diffusion.schedule;
  const size = x0.data.length / t.data.length;
  const [a, b] = [x0.data, noise.data] as [Float32Array, Float32Array];
  return float32(
    x0.shape,
    a.map((value, i) => {
      const step = Number(t.data[Math.floor(i / size)]);
      return value * (signal[step] as number) + (b[i] as number) * (rest[step] as number);
    }),
  );
}

const unetShapes = new Map([...unetWeights.entries].map(([name, { shape }]) => [name, shape]));
const dotted = (name: string) => `${unetPrefix}.${name}`;

test('adapt/lora: five steps of AdamW on the factors of every attention', async () => {
  const recorded = readCase('adapt/lora');
  const { rank, lora_alpha, lr, weight_decay, steps, clip } = recorded.settings as Record<string, number>;
  const start = await readFactors(
    openLora(await openWeightsAt(reference('training/adapt/lora_start.diffusers.safetensors'))),
    [unet],
    (_, name) => unetShapes.get(name),
  );
  const parameters = [...unetWeights.entries.values()];
  const paths = loraPaths(parameters, `${unetPrefix}.`, {
    rank: rank as number,
    alpha: lora_alpha as number,
    targets: ['attention'],
  });
  assert.deepEqual(paths.map(({ weight }) => weight).sort(), start.map(({ tensor: name }) => dotted(name)).sort());
  const graph = withLoraPaths(traceAdapterLoss({ unet, diffusion }), paths);
  const factors = new Map(
    start.flatMap(({ tensor: name, down, up }) => {
      const module = dotted(name).replace(/\.weight$/, '');
      return [
        [`${module}.lora_down.weight`, down],
        [`${module}.lora_up.weight`, up],
      ] as [string, Tensor][];
    }),
  );
  await using step = await createTrainStep({
    engine,
    graph,
    weights: joined([withPrefix(unetWeights, `${unetPrefix}.`), memoryWeights(factors)]),
    treatment: (name) => (factors.has(name) ? { weightDecay: weight_decay as number } : 'fixed'),
    clipNorm: clip as number,
  });
  assert.deepEqual([...step.trained].sort(), [...factors.keys()].sort());
  const [losses, norms]: [number[], number[]] = [[], []];
  const first = new Map<string, Tensor>();
  const input = (name: string, i: number): Tensor => at(recorded.input(name), i);
  for (let i = 0; i < (steps as number); i++) {
    const batch = { x0: input('x0', i), noise: input('noise', i), t: input('t', i), context: input('context', i) };
    const { loss, gradientNorm } = await step.run(batch, { learningRate: lr as number });
    losses.push(loss);
    norms.push(gradientNorm);
    if (i === 0) for (const [name, value] of Object.entries(await step.gradients())) first.set(name, value);
  }
  const now = await step.parameters();
  const trained = start.map((factor): LoraFactors => {
    const module = dotted(factor.tensor).replace(/\.weight$/, '');
    return {
      ...factor,
      alpha: lora_alpha as number,
      down: now[`${module}.lora_down.weight`] as Tensor<'float32'>,
      up: now[`${module}.lora_up.weight`] as Tensor<'float32'>,
    };
  });
  const written = loraTensors(trained, { layout: 'diffusers', unet });
  // The trained LoRA merged into the weights, as it will be used.
  const merged = withLora(unetWeights, unet, [{ lora: openLora(memoryWeights(written)) }]);
  const program = await engine.compile(traceUNet(unet), merged);
  const { out } = await program.run({
    x: noisy(input('x0', 0), input('noise', 0), input('t', 0)),
    timesteps: float32([2], Array.from(input('t', 0).data as BigInt64Array, Number)),
    context: input('context', 0),
  });
  const diffusersNames = new Map(
    start.map((factor, i) => [
      [...loraTensors([{ ...factor }], { layout: 'diffusers', unet }).keys()][0]
        ?.replace(/^unet\./, '')
        .replace(/\.lora\.down\.weight$/, '') ?? '',
      i,
    ]),
  );
  compareCase(recorded, (name) => {
    if (name === 'losses') return float32([losses.length], losses);
    if (name === 'grad_norms') return float32([norms.length], norms);
    if (name === 'final_output') return out;
    if (name.startsWith('lora.')) return written.get(name.slice('lora.'.length));
    const module = /^first_grad\.(.+)\.lora_B\.weight$/.exec(name)?.[1];
    const factor = module === undefined ? undefined : start[diffusersNames.get(module) ?? -1];
    return factor && first.get(dotted(factor.tensor).replace(/\.weight$/, '.lora_up.weight'));
  });
});

test('adapt/dreambooth_prior: the loss of instance and class rows', async () => {
  const recorded = readCase('adapt/dreambooth_prior');
  const graph = traceAdapterLoss({ unet, diffusion, priorWeight: Number(recorded.settings['prior_loss_weight']) });
  const names = { 'conv_in.weight': dotted('input_blocks.0.0.weight'), 'conv_out.weight': dotted('out.2.weight') };
  const program = await engine.compile(
    gradients(graph, 'loss', Object.values(names)),
    withPrefix(unetWeights, `${unetPrefix}.`),
  );
  const inputs = Object.fromEntries(['x0', 'noise', 't', 'context'].map((name) => [name, recorded.input(name)]));
  const got = await program.run({ ...inputs, instance: float32([4], [1, 1, 0, 0]) });
  compareCase(recorded, (name) => {
    if (name === 'model_out') return got['prediction'];
    return name.startsWith('grad.') ? got[`grad.${names[name.slice(5) as keyof typeof names]}`] : got[name];
  });
});

test('adapt/textual_inversion: five steps on the row of a further token', async () => {
  const recorded = readCase('adapt/textual_inversion');
  const { placeholder_id, initializer_id, lr, weight_decay } = recorded.settings as Record<string, number>;
  const placeholder = placeholder_id as number;
  const settings = Object.entries(readCase('nets/clip_text').settings).filter(
    ([key]) => !/^(bos|pad)_token_id$/.test(key),
  );
  const text = clipTextConfigSchema.parse({ kind: 'clip_text', ...Object.fromEntries(settings) });
  const textWeights = new Map(
    [...readWeights('nets/clip_text')].map(([name, value]) => [`${textPrefix}.transformer.text_model.${name}`, value]),
  );
  const table = `${textPrefix}.transformer.text_model.embeddings.token_embedding.weight`;
  const rows = 'token_rows';
  const width = text.hidden_size;
  const startRow = float32([1, width], recorded.input('start_row').data as Float32Array);
  const before = textWeights.get(table) as Tensor<'float32'>;
  assert.deepEqual(
    startRow.data,
    before.data.slice((initializer_id as number) * width, ((initializer_id as number) + 1) * width),
  );
  const weights = joined([
    withPrefix(unetWeights, `${unetPrefix}.`),
    memoryWeights(textWeights),
    memoryWeights(new Map([[rows, startRow]])),
  ]);
  const plain = traceAdapterLoss({ unet, text, diffusion });
  const graph = withTokenRows(plain, { table, rows, count: 1 });
  const rename = (ids: Tensor): Tensor =>
    tensor(
      'int64',
      ids.shape,
      (ids.data as BigInt64Array).map((id) => (id === BigInt(placeholder) ? BigInt(text.vocab_size) : id)),
    );
  const batchOf = (i: number, ids: (given: Tensor) => Tensor) => ({
    x0: at(recorded.input('x0'), i),
    noise: at(recorded.input('noise'), i),
    t: at(recorded.input('t'), i),
    input_ids: ids(at(recorded.input('ids'), i)),
  });

  await using step = await createTrainStep({
    engine,
    graph,
    weights,
    treatment: (name) => (name === rows ? { weightDecay: weight_decay as number } : 'fixed'),
  });
  assert.deepEqual(step.trained, [rows]);
  // As diffusers' script has it: the whole table is trained, and the other rows restored. Its first gradient and how far rows move are recorded too.
  const withPlaceholder = float32(before.shape, before.data);
  withPlaceholder.data.set(startRow.data, placeholder * width);
  const restoring = new Map([...textWeights, [table, withPlaceholder]]);
  await using whole = await createTrainStep({
    engine,
    graph: plain,
    weights: joined([withPrefix(unetWeights, `${unetPrefix}.`), memoryWeights(restoring)]),
    treatment: (name) => (name === table ? { weightDecay: weight_decay as number } : 'fixed'),
  });
  const losses: number[] = [];
  const row: number[] = [];
  const moved: number[] = [];
  let firstGradient: Tensor | undefined;
  for (let i = 0; i < 5; i++) {
    losses.push((await step.run(batchOf(i, rename), { learningRate: lr as number })).loss);
    row.push(...((await step.parameters())[rows] as Tensor<'float32'>).data);
    await whole.run(
      batchOf(i, (ids) => ids),
      { learningRate: lr as number },
    );
    if (i === 0) {
      firstGradient = (await whole.gradients())[table];
      const own = (await step.gradients())[rows]?.data as Float32Array;
      assert.ok(
        own.every((value, j) => Math.abs(value - Number(firstGradient?.data[placeholder * width + j])) < 1e-7),
        'the new row has the gradient of the placeholder in a whole table',
      );
    }
    const now = (await whole.parameters())[table] as Tensor<'float32'>;
    const others = now.data.map((value, j) =>
      Math.floor(j / width) === placeholder ? 0 : Math.abs(value - (before.data[j] as number)),
    );
    moved.push(others.reduce((a, b) => Math.max(a, b), 0));
    const restored = float32(before.shape, before.data);
    restored.data.set(now.data.subarray(placeholder * width, (placeholder + 1) * width), placeholder * width);
    await whole.state.write({ [table]: restored });
  }
  const made: Readonly<Record<string, Tensor | undefined>> = {
    losses: float32([5], losses),
    row: float32([5, width], row),
    first_grad: firstGradient,
    other_rows_moved_before_restore: float32([5], moved),
  };
  compareCase(recorded, (name) => made[name]);
});
