/** The conditions on images of SD 2.x alone: the image encoder with its preprocessing, noise on embeddings and on small pictures. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { canonicalWeights } from '../../../src/checkpoints/canonical.ts';
import { clipPixels } from '../../../src/conditioning/clip-pixels.ts';
import {
  imageNoiseTable,
  imageVector,
  levelEmbedding,
  noisedImage,
  scaledEmbedding,
} from '../../../src/conditioning/image-noise.ts';
import { type ImageConditionOf, imageConditionSchema } from '../../../src/config/image-condition.ts';
import { clipVisionConfigSchema } from '../../../src/config/network-config.ts';
import { forward } from '../../../src/model/forward.ts';
import { joinBatches, takeBatch } from '../../../src/tensor/batches.ts';
import { expectDType, float32, type Tensor } from '../../../src/tensor/tensor.ts';
import { memoryWeights } from '../../../src/weights/memory-weights.ts';
import { under } from '../../families/tiny-models.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader } from '../reader.ts';

const rowSchema = z.looseObject({
  dir: z.string(),
  settings: z.looseObject({}),
  outputs: z.record(z.string(), z.looseObject({ atol: z.number().optional() })),
  weights: z.string().optional(),
  weights_prefix: z.string().optional(),
});
type Row = z.output<typeof rowSchema>;
type Outputs = ReadonlyMap<string, Tensor>;

/** Every seventh pixel, as the recording keeps them. */
function everySeventh({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  const [b = 1, c = 1, h = 1, w = 1] = shape;
  const side = (size: number): number => Math.ceil(size / 7);
  const values: number[] = [];
  for (let plane = 0; plane < b * c; plane++)
    for (let y = 0; y < h; y += 7) for (let x = 0; x < w; x += 7) values.push(data[(plane * h + y) * w + x] as number);
  return float32([b, c, side(h), side(w)], values);
}

async function encoderOutputs(row: Row, folder: string, inputs: Tensors): Promise<Outputs> {
  const { width, layers, heads, image_size, patch_size } = row.settings as Record<string, number>;
  const all = under(readTensors(join(folder, row.weights ?? '')), row.weights_prefix ?? '');
  const weights = new Map([...all].map(([name, value]) => [`visual.${name}`, value]));
  const config = clipVisionConfigSchema.parse({
    kind: 'clip_vision',
    hidden_size: width,
    intermediate_size: weights.get('visual.transformer.resblocks.0.mlp.c_fc.weight')?.shape[0],
    num_hidden_layers: layers,
    num_attention_heads: heads,
    image_size,
    patch_size,
    hidden_act: 'gelu',
    projection_dim: weights.get('visual.proj')?.shape[1],
    with_projection: true,
  });
  const source = canonicalWeights(memoryWeights(weights), config).source;
  const given = new Map([['pixel_values', pick(inputs, 'pixels')]]);
  const made = await forward({ engine: parityEngine(), config, weights: source, inputs: given });
  const got = new Map(made);
  got.set('preprocessed_224[::7,::7]', everySeventh(clipPixels(expectDType(pick(inputs, 'image'), 'float32'), 224)));
  got.set('intermediate.model.visual.ln_pre', pick(made, 'hidden_states.0'));
  got.set('intermediate.model.visual.ln_post', pick(made, 'pooled'));
  for (let i = 0; i < (layers ?? 0); i++)
    got.set(`intermediate.model.visual.transformer.resblocks.${i}`, pick(made, `hidden_states.${i + 1}`));
  return got;
}

/** What is made of each row of a batch, whose levels differ. */
function eachRow(
  count: number,
  make: (item: (x: Tensor) => Tensor<'float32'>, i: number) => Tensor<'float32'>,
): Tensor<'float32'> {
  return joinBatches(
    Array.from({ length: count }, (_, i) => make((x) => takeBatch(expectDType(x, 'float32'), i, i + 1), i)),
  );
}

function embeddingOutputs(row: Row, folder: string, inputs: Tensors): Outputs {
  const width = Number(row.settings['timestep_dim']);
  const config = imageConditionSchema.parse({
    kind: 'image_embedding',
    width,
    beta_schedule: 'squaredcos_cap_v2',
  }) as ImageConditionOf<'image_embedding'>;
  const path = join(folder, row.weights ?? '');
  const flat = (x: Tensor): Tensor<'float32'> => float32([x.data.length], x.data as Float32Array);
  const tensors = existsSync(path) ? readTensors(path) : undefined;
  const statistics = tensors && { mean: flat(pick(tensors, 'mean')), std: flat(pick(tensors, 'std')) };
  const [embeds, noise] = [pick(inputs, 'embeds'), pick(inputs, 'noise')];
  const levels = Array.from(pick(inputs, 'noise_level').data, Number);
  const table = imageNoiseTable(config);
  const y = eachRow(levels.length, (item, i) =>
    imageVector(config, item(embeds), item(noise), levels[i] ?? 0, statistics),
  );
  const total = y.shape[1] ?? 0;
  const noised = Array.from({ length: levels.length }, (_, i) => [
    ...y.data.subarray(i * total, i * total + total - width),
  ]);
  return new Map<string, Tensor>([
    ['y', y],
    ['scaled', scaledEmbedding(expectDType(embeds, 'float32'), statistics)],
    ['noised', float32([levels.length, total - width], noised.flat())],
    ['level_embedding', eachRow(levels.length, (_, i) => levelEmbedding(levels[i] ?? 0, width, 1))],
    ['alphas_cumprod', float32([table.length], table)],
  ]);
}

function pictureOutputs(row: Row, _: string, inputs: Tensors): Outputs {
  const { beta_schedule, linear_start, linear_end, max_noise_level } = row.settings;
  const config = imageConditionSchema.parse({
    kind: 'low_scale',
    beta_schedule,
    linear_start,
    linear_end,
    max_noise_level,
  }) as ImageConditionOf<'low_scale'>;
  const table = imageNoiseTable(config);
  const [image, noise, level] = [pick(inputs, 'image'), pick(inputs, 'noise'), pick(inputs, 'noise_level')];
  const levels = Array.from(level.data, Number);
  return new Map<string, Tensor>([
    ['noised', eachRow(levels.length, (item, i) => noisedImage(table, item(image), item(noise), levels[i] ?? 0))],
    ['alphas_cumprod', float32([table.length], table)],
    ['noise_level', level],
  ]);
}

function kindOf(settings: unknown): typeof encoderOutputs | typeof embeddingOutputs | undefined {
  const given = settings as Record<string, unknown> | undefined;
  if (given?.['patch_size'] !== undefined) return encoderOutputs;
  if (given?.['timestep_dim'] !== undefined) return embeddingOutputs;
  return given?.['max_noise_level'] === undefined ? undefined : pictureOutputs;
}

export const reader: Reader = {
  set: 'families',
  reads: ({ settings }, part) => part === 'networks' && kindOf(settings) !== undefined,
  compare: collecting(async ({ row: raw, setFolder: folder }, compare) => {
    const row = rowSchema.parse(raw);
    const inputs = readTensors(join(folder, row.dir, 'inputs.safetensors'));
    const want = readTensors(join(folder, row.dir, 'outputs.safetensors'));
    const got = await kindOf(row.settings)?.(row, folder, inputs);
    for (const [output, { atol = 0 }] of Object.entries(row.outputs)) {
      const recorded = pick(want, output);
      if (recorded.dtype === 'int32' || recorded.dtype === 'int64')
        compare.exact(output, Array.from(got?.get(output)?.data ?? [], Number), Array.from(recorded.data, Number));
      else compare.tensor(output, got?.get(output), recorded, atol);
    }
  }),
};
