/**
 * The networks of Stable Diffusion v1 at full size against outputs of the original code, from the float32 and the float16 file.
 *
 * The files are made by bench/full-size-weights.ts and take 6.4 GB, so that they are not in the repository. The folder with them is
 * `$SD_FULL_SIZE`, else `build/full-size`; without it these tests are skipped. They need 5 GB of memory.
 */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { madeUp } from '../../bench/full-size-rule.ts';
import type { Program, Tensors } from '../../src/engine/engine.ts';
import { createNodeEngine } from '../../src/engine/node.ts';
import type { Graph } from '../../src/graph/graph.ts';
import { traceKlDecode, traceKlEncode } from '../../src/models/autoencoder-kl.ts';
import { traceClipText } from '../../src/models/clip-text.ts';
import { traceUNet } from '../../src/models/unet.ts';
import { convert } from '../../src/tensor/convert.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import type { Checkpoint } from '../../src/checkpoints/checkpoint.ts';
import { openCheckpointAt } from '../../src/checkpoints/open-checkpoint-node.ts';
import type { WeightSource } from '../../src/weights/weight-source.ts';
import { compareTensor, type ParityRow, recordParity } from '../parity.ts';
import { reference } from '../reference.ts';
import { pick, readTensors, type Tensors as Recorded } from '../tensors.ts';

const folder = process.env['SD_FULL_SIZE'] ?? join(import.meta.dirname, '../../build/full-size');

/** Suggested by the reference set for float32: CompVis's own distance from float64 is about a tenth of it. */
interface Tolerance {
  readonly largest: number;
  readonly rms: number;
}

interface Case {
  readonly name: string;
  readonly tolerance: Tolerance;
  readonly inputs: (recorded: Recorded) => Tensors;
  /** What of the outputs was recorded, by the name it has there. */
  readonly results: (outputs: Readonly<Record<string, Tensor>>, recorded: Recorded) => Readonly<Record<string, Tensor>>;
}

interface Network {
  readonly name: string;
  readonly compile: (checkpoint: Checkpoint) => { readonly graph: Graph; readonly weights: WeightSource };
  readonly cases: readonly Case[];
}

function output(outputs: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = outputs[name];
  if (!found) throw new Error(`The network returned no ${name}.`);
  return found;
}

function kl(checkpoint: Checkpoint) {
  const config = checkpoint.config.first_stage_config;
  if (config.kind !== 'kl') throw new Error(`The checkpoint's first stage is ${config.kind}.`);
  return config;
}

function unetCase(name: string, latent: readonly number[], timesteps: readonly number[]): Case {
  const batch = timesteps.length;
  return {
    name,
    tolerance: { largest: 1e-4, rms: 2e-5 },
    inputs: () => ({
      x: madeUp(`input.${name}.x`, latent),
      timesteps: float32([batch], timesteps),
      context: madeUp(`input.${name}.context`, [batch, 77, 768]),
    }),
    results: (outputs) => ({ out: output(outputs, 'out') }),
  };
}

const {
  cases: decoded,
}: { readonly cases: Readonly<Record<string, { readonly crop: readonly [number, number, number, number] }>> } =
  JSON.parse(readFileSync(reference('files/full-size/vae.json'), 'utf8'));

/** Of a decoded picture a crop and scattered values were recorded. */
function decodeCase(name: string, side: number): Case {
  return {
    name,
    tolerance: { largest: 5e-4, rms: 1e-4 },
    inputs: () => ({ z: madeUp(`input.${name}.z`, [1, 4, side, side]) }),
    results: (outputs, recorded) => {
      const { shape, data } = output(outputs, 'decoded');
      const [, , height = 0, width = 0] = shape;
      const [top, left, rows, columns] = decoded[name]?.crop ?? [0, 0, 0, 0];
      const at = (i: number): number =>
        (Math.floor(i / (rows * columns)) * height + top + (Math.floor(i / columns) % rows)) * width +
        left +
        (i % columns);
      const crop = Float32Array.from({ length: 3 * rows * columns }, (_, i) => Number(data[at(i)]));
      const samples = Float32Array.from(pick(recorded, 'sample_index').data as Int32Array, (index) =>
        Number(data[index]),
      );
      return { crop: float32([1, 3, rows, columns], crop), sample_value: float32([samples.length], samples) };
    },
  };
}

const networks: readonly Network[] = [
  {
    name: 'CLIP',
    compile: ({ config: { cond_stage_config: config }, parts }) => {
      if (typeof config !== 'object' || config?.kind !== 'clip_text')
        throw new Error('The checkpoint has no CLIP text encoder.');
      return {
        graph: traceClipText(config, { outputs: ['last_hidden_state', 'final_norm.11'] }),
        weights: parts.cond_stage,
      };
    },
    cases: [
      {
        name: 'clip',
        tolerance: { largest: 5e-5, rms: 1e-5 },
        inputs: (recorded) => ({ input_ids: convert(pick(recorded, 'input_ids'), 'int64') }),
        results: (outputs) => ({
          last_hidden_state: output(outputs, 'last_hidden_state'),
          penultimate_with_final_norm: output(outputs, 'final_norm.11'),
        }),
      },
    ],
  },
  {
    name: 'autoencoder, encoder',
    compile: (checkpoint) => ({
      graph: traceKlEncode(kl(checkpoint), { outputs: ['moments'] }),
      weights: checkpoint.parts.first_stage,
    }),
    cases: [
      {
        name: 'vae-encode-256x256',
        tolerance: { largest: 1e-4, rms: 2e-5 },
        inputs: () => ({ image: madeUp('input.vae-encode-256x256.image', [1, 3, 256, 256]) }),
        results: (outputs) => ({ moments: output(outputs, 'moments') }),
      },
    ],
  },
  {
    name: 'autoencoder, decoder',
    compile: (checkpoint) => ({ graph: traceKlDecode(kl(checkpoint)), weights: checkpoint.parts.first_stage }),
    cases: [decodeCase('vae-decode-32x32', 32), decodeCase('vae-decode-64x64', 64)],
  },
  {
    name: 'UNet',
    compile: ({ config, parts }) => ({ graph: traceUNet(config.unet_config), weights: parts.unet }),
    cases: [unetCase('unet-32x48', [1, 4, 32, 48], [501]), unetCase('unet-64x64-b2', [2, 4, 64, 64], [981, 1])],
  },
];

function rootMeanSquare(a: Tensor, b: Tensor): number {
  let sum = 0;
  for (let i = 0; i < b.data.length; i++) sum += (Number(a.data[i]) - Number(b.data[i])) ** 2;
  return Math.sqrt(sum / b.data.length);
}

async function check(
  program: Program,
  { name, tolerance, inputs, results }: Case,
  dtype: 'f32' | 'f16',
): Promise<void> {
  const recorded = readTensors(reference(`files/full-size/${name}.safetensors`));
  const row: Omit<ParityRow, 'error' | 'output' | 'tolerance'> = {
    part: 'files/full-size',
    case: name,
    reference: 'CompVis classes, transformers; torch 2.13 CPU float32',
  };
  const suffixes = dtype === 'f32' ? ['', '_f64'] : ['_f16_weights'];
  for (const [result, got] of Object.entries(results(await program.run(inputs(recorded)), recorded))) {
    for (const suffix of suffixes) {
      // Of some outputs only those with the float32 weights were recorded, of few those in float64.
      const want = recorded.get(result + suffix);
      if (!want) continue;
      compareTensor({ ...row, output: result + suffix, tolerance: tolerance.largest }, got, want);
      recordParity({
        ...row,
        output: `${result}${suffix}, root mean square`,
        error: rootMeanSquare(got, want),
        tolerance: tolerance.rms,
      });
    }
  }
}

for (const dtype of ['f32', 'f16'] as const) {
  const path = join(folder, `full-${dtype}.safetensors`);
  const skip = existsSync(path) ? false : `${path} is not here; bench/full-size-weights.ts makes it`;
  for (const { name, compile, cases } of networks) {
    test(`${name} at full size from the ${dtype} file`, { skip }, async () => {
      await using engine = createNodeEngine();
      const checkpoint = await openCheckpointAt(path);
      try {
        const { graph, weights } = compile(checkpoint);
        const program = await engine.compile(graph, weights);
        for (const item of cases) await check(program, item, dtype);
      } finally {
        await checkpoint.close();
      }
    });
  }
}
