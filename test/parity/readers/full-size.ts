/**
 * The networks of Stable Diffusion v1 at full size with weights made up by a rule: outputs of the original code with float32 and with float16 weights.
 *
 * The weights are made when the engine reads them. The UNet takes some 6 GB of memory.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { madeUp } from '../../../bench/full-size-rule.ts';
import { clipTextConfigSchema, klConfigSchema } from '../../../src/config/network-config.ts';
import { v1UNet } from '../../networks.ts';
import type { Graph } from '../../../src/graph/graph.ts';
import { traceKlDecode, traceKlEncode } from '../../../src/models/autoencoder-kl.ts';
import { traceClipText } from '../../../src/models/clip-text.ts';
import { traceUNet } from '../../../src/models/unet.ts';
import { convert } from '../../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../../src/tensor/tensor.ts';
import type { WeightSource } from '../../../src/weights/weight-source.ts';
import { pick, readTensors, type Tensors } from '../../tensors.ts';
import { collecting } from '../comparisons.ts';
import { parityEngine } from '../engine.ts';
import type { Reader, RecordedCase } from '../reader.ts';

type Named = Readonly<Record<string, Tensor>>;

interface FullSizeNetwork {
  /** Where its parameters lie in a checkpoint: the rule makes values from whole names. */
  readonly prefix: string;
  readonly graph: () => Graph;
  readonly inputs: (recorded: RecordedCase, stored: Tensors) => Named;
  /** What of the outputs was recorded, by its name there. */
  readonly results: (made: Named, recorded: RecordedCase, stored: Tensors) => Named;
}

/** Networks by what the row says that it exercises. */
const networks: readonly (readonly [RegExp, FullSizeNetwork])[] = [
  [/^CLIP/, clip()],
  [/^UNet/, unet()],
  [/^VAE encode/, encoder()],
  [/^VAE decode/, decoder()],
];
const networkOf = ({ exercises }: RecordedCase['row']) =>
  networks.find(([pattern]) => pattern.test(String(exercises)))?.[1];

export const reader: Reader = {
  set: 'files',
  reads: (row, part) => /full-size/.test(part) && networkOf(row) !== undefined,
  compare: collecting(async (recorded, compare) => {
    const { row, setFolder } = recorded;
    const network = networkOf(row);
    if (!network) throw new Error('an unknown network');
    const stored = readTensors(join(setFolder, String(row['file'])));
    const tolerance = row['tolerance'] as { readonly max_abs: number; readonly rms: number };
    const graph = network.graph();
    for (const [half, suffixes] of [
      [false, ['', '_f64']],
      [true, ['_f16_weights']],
    ] as const) {
      if (half && ![...stored.keys()].some((name) => name.endsWith('_f16_weights'))) continue;
      const weights = madeUpWeights(graph, network.prefix, Number(row['global_seed']), half);
      await using program = await parityEngine().compile(graph, weights);
      const made = network.results(await program.run(network.inputs(recorded, stored)), recorded, stored);
      for (const [name, got] of Object.entries(made))
        for (const suffix of suffixes) {
          const want = stored.get(name + suffix);
          if (!want) continue;
          compare.tensor(name + suffix, got, want, tolerance.max_abs);
          compare.error(`${name}${suffix}, root mean square`, rootMeanSquare(got, want), tolerance.rms);
        }
    }
  }),
};

function madeUpWeights(graph: Graph, prefix: string, seed: number, half: boolean): WeightSource {
  const entries = new Map(
    graph.parameters.map(({ name, value }) => [
      name,
      { name, dtype: 'float32' as const, shape: value.shape.map(Number) },
    ]),
  );
  return {
    label: 'weights made up by the rule',
    entries,
    async read(name) {
      const made = madeUp(prefix + name, entries.get(name)?.shape ?? [], seed);
      return half ? convert(convert(made, 'float16'), 'float32') : made;
    },
    async close() {},
  };
}

function rootMeanSquare(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < b.data.length; i++) sum += (Number(a.data[i]) - Number(b.data[i])) ** 2;
  return Math.sqrt(sum / b.data.length);
}

const output = (made: Named, name: string): Tensor => {
  const found = made[name];
  if (!found) throw new Error(`the network returned no ${name}`);
  return found;
};

/** The shape that the row's text states after the word, as in `timesteps [501]`. */
function listAfter(recorded: RecordedCase, word: string): number[] {
  const found = new RegExp(`${word} \\[([\\d, ]+)\\]`).exec(String(recorded.row['exercises']))?.[1];
  if (found === undefined) throw new Error(`the row does not state ${word}`);
  return found.split(',').map(Number);
}

function madeUpInput(recorded: RecordedCase, name: string, shape: readonly number[]): Tensor<'float32'> {
  const names = recorded.row['inputs'] as Readonly<Record<string, string>>;
  return madeUp(names[name] ?? '', shape, Number(recorded.row['global_seed']));
}

function clip(): FullSizeNetwork {
  const config = clipTextConfigSchema.parse({
    kind: 'clip_text',
    hidden_size: 768,
    intermediate_size: 3072,
    num_attention_heads: 12,
  });
  return {
    prefix: 'cond_stage_model.',
    graph: () => traceClipText(config, { outputs: ['last_hidden_state', 'final_norm.11'] }),
    inputs: (_, stored) => ({ input_ids: convert(pick(stored, 'input_ids'), 'int64') }),
    results: (made) => ({
      last_hidden_state: output(made, 'last_hidden_state'),
      penultimate_with_final_norm: output(made, 'final_norm.11'),
    }),
  };
}

function unet(): FullSizeNetwork {
  return {
    prefix: 'model.diffusion_model.',
    graph: () => traceUNet(v1UNet),
    inputs: (recorded) => {
      const times = listAfter(recorded, 'timesteps');
      return {
        x: madeUpInput(recorded, 'x', listAfter(recorded, 'x')),
        timesteps: float32([times.length], times),
        context: madeUpInput(recorded, 'context', listAfter(recorded, 'context')),
      };
    },
    results: (made) => ({ out: output(made, 'out') }),
  };
}

function klConfig() {
  return klConfigSchema.parse({
    kind: 'kl',
    embed_dim: 4,
    ddconfig: {
      z_channels: 4,
      resolution: 256,
      in_channels: 3,
      out_ch: 3,
      ch: 128,
      ch_mult: [1, 2, 4, 4],
      num_res_blocks: 2,
      attn_resolutions: [],
    },
  });
}

function encoder(): FullSizeNetwork {
  return {
    prefix: 'first_stage_model.',
    graph: () => traceKlEncode(klConfig(), { outputs: ['moments'] }),
    inputs: (recorded) => ({ image: madeUpInput(recorded, 'x', listAfter(recorded, 'encode')) }),
    results: (made) => ({ moments: output(made, 'moments') }),
  };
}

function decoder(): FullSizeNetwork {
  return {
    prefix: 'first_stage_model.',
    graph: () => traceKlDecode(klConfig()),
    inputs: (recorded) => ({ z: madeUpInput(recorded, 'z', listAfter(recorded, 'decode')) }),
    results: (made, recorded, stored) => recordedPixels(output(made, 'decoded'), recorded, stored),
  };
}

/** Of a decoded picture a crop and scattered values were recorded. */
function recordedPixels({ shape, data }: Tensor, { setFolder, row }: RecordedCase, stored: Tensors): Named {
  const side = join(setFolder, 'full-size/vae.json');
  const described = existsSync(side) ? JSON.parse(readFileSync(side, 'utf8')).cases[String(row['case'])] : undefined;
  const crop = (row['crop'] ?? described?.crop) as readonly [number, number, number, number];
  const [top, left, rows, columns] = crop;
  const [, , height = 0, width = 0] = shape;
  const at = (i: number): number =>
    (Math.floor(i / (rows * columns)) * height + top + (Math.floor(i / columns) % rows)) * width + left + (i % columns);
  const cropped = Float32Array.from({ length: 3 * rows * columns }, (_, i) => Number(data[at(i)]));
  const samples = Float32Array.from(pick(stored, 'sample_index').data as Int32Array, (index) => Number(data[index]));
  return { crop: float32([1, 3, rows, columns], cropped), sample_value: float32([samples.length], samples) };
}
