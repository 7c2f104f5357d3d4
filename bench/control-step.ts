/**
 * What a ControlNet adds to a step: the time of the UNet under one ControlNet, over the time of the UNet alone; in this package, and in
 * PyTorch/diffusers where it is installed. Float32, with guidance (two images). The two forms take turns for some rounds, and the ratio is the
 * median over the rounds, because a machine that others use is not equally fast from minute to minute.
 *
 *     node --import ./tools/typescript.mjs bench/control-step.ts [--model FILE] [--size 512] [--rounds 5] [--threads 2]
 *
 * The model is a CompVis checkpoint; default `$SD_FULL_SIZE/full-f32.safetensors`, else `build/full-size`, which bench/full-size.ts makes. The
 * ControlNet is a copy of its UNet's first half with random output convolutions. Needs a quiet machine and, at full size, 8 GB of memory.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openCheckpointAt } from '../src/checkpoints/open-checkpoint-node.ts';
import { type ControlNetConfig, controlNetConfigSchema, ldmUNet } from '../src/config/network-config.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { control } from '../src/extensions/control.ts';
import { NetworkSet } from '../src/model/network-set.ts';
import { networkParameters } from '../src/models/index.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { float32 } from '../src/tensor/tensor.ts';
import { initialWeights } from '../src/training/step/initial-weights.ts';
import { aliased, joined, weightView } from '../src/weights/view.ts';
import type { WeightSource } from '../src/weights/weight-source.ts';

const { values } = parseArgs({
  options: {
    model: {
      type: 'string',
      default: join(
        process.env['SD_FULL_SIZE'] ?? join(import.meta.dirname, '../build/full-size'),
        'full-f32.safetensors',
      ),
    },
    size: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
  },
});
const [size, rounds, threads] = [values.size, values.rounds, values.threads].map(Number) as [number, number, number];

/** The UNet's tensors where it has them, and random ones. */
function copied(config: ControlNetConfig, unet: WeightSource): WeightSource {
  const wanted = networkParameters(config);
  const own = wanted.flatMap(({ name }) => (unet.entries.has(name) ? [aliased(unet, name)] : []));
  const others = wanted.filter(({ name }) => !unet.entries.has(name));
  return joined([weightView('copy', own, []), initialWeights(others, 1)]);
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

interface Ratio {
  readonly plain: number;
  readonly controlled: number;
  readonly ratio: number;
}

async function ours(): Promise<Ratio> {
  const checkpoint = await openCheckpointAt(values.model);
  const engine = createNodeEngine({ threads });
  const unet = ldmUNet(checkpoint.config.unet_config);
  const config = controlNetConfigSchema.parse({ kind: 'controlnet', unet });
  const weights = checkpoint.parts.unet;
  const networks = new NetworkSet({
    label: 'bench',
    engine,
    networks: new Map([
      ['unet', { config: unet, weights }],
      ['controlled', { config: unet, weights, extensions: [control] }],
      ['control', { config, weights: copied(config, weights) }],
    ]),
  });
  const draws = new TorchGenerator(1);
  const side = size / 8;
  const inputs = {
    x: draws.randn([2, unet.in_channels, side, side]),
    timesteps: float32([2], [500, 500]),
    context: draws.randn([2, 77, unet.context_dim ?? 768]),
  };
  const hint = draws.rand([2, 3, size, size], 0, 1);
  const outputs = networks.outputs({ network: 'control' }).filter((name) => name !== 'hint_features');
  const plain = () => networks.run({ network: 'unet', outputs: ['out'] }, inputs);
  const controlled = async () => {
    const added = await networks.run({ network: 'control', outputs }, { ...inputs, hint });
    await networks.run({ network: 'controlled', outputs: ['out'] }, { ...inputs, ...added });
  };
  await plain();
  await controlled();
  const pairs: (readonly [number, number])[] = [];
  for (let i = 0; i < rounds; i++) pairs.push([await timed(plain), await timed(controlled)]);
  await networks.dispose();
  await engine.dispose();
  await checkpoint.close();
  return {
    plain: median(pairs.map(([a]) => a)),
    controlled: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => b / a)),
  };
}

/** Undefined where PyTorch or diffusers is missing. */
function peer(): Ratio | undefined {
  const script = join(import.meta.dirname, 'peers/torch_control.py');
  const words = [script, '--size', values.size, '--rounds', values.rounds, '--threads', values.threads];
  const { status, stdout, stderr } = spawnSync('python3', words, { encoding: 'utf8', maxBuffer: 2 ** 24 });
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  console.log(`PyTorch is left out: ${stderr.trim().split('\n').at(-1) ?? 'no python3'}`);
  return undefined;
}

const row = (name: string, { plain, controlled, ratio }: Ratio): string =>
  `${name.padEnd(14)} ${plain.toFixed(3)} s alone   ${controlled.toFixed(3)} s with a ControlNet   ratio ${ratio.toFixed(3)}`;

console.log(row('this package', await ours()));
const other = peer();
if (other) console.log(row('PyTorch', other));
