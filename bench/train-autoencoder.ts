/**
 * Training steps of the pocket autoencoder (models/pocket.yaml), 128 x 128, batch 8, float32, beside the same in PyTorch: processes of their
 * own in turn, the median step of each.
 *
 *     node --import ./tools/typescript.mjs bench/train-autoencoder.ts [rounds] [steps] [threads]
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { autoencoderTraining } from '../src/config/autoencoder-training.ts';
import { parseYaml } from '../src/config/yaml.ts';
import { createNodeEngine } from '../src/engine/node.ts';
import { TorchGenerator } from '../src/random/torch-generator.ts';
import { createAutoencoderTraining } from '../src/training/autoencoder.ts';
import { autoencoderWeights } from '../src/training/autoencoder-weights.ts';

const [batch, side] = [8, 128];
const root = join(import.meta.dirname, '..');

interface Measured {
  readonly seconds: readonly number[];
  readonly parameters: number;
  readonly peak_mb: number;
}

function pocketAutoencoder(): Record<string, unknown> {
  const document = parseYaml(readFileSync(join(root, 'models/pocket.yaml'), 'utf8'), 'pocket.yaml') as { model: { params: { first_stage_config: { target: string; params: Record<string, unknown> } } } };
  const { target, params } = document.model.params.first_stage_config;
  return { model: { target, params: { ...params, lossconfig: { target: 'MultiscaleReconstruction' } } } };
}

/** Some steps in this process, as JSON on stdout. */
async function measure(steps: number, threads: number): Promise<Measured> {
  const { objective, weights } = autoencoderWeights({ config: autoencoderTraining(pocketAutoencoder(), 'pocket.yaml'), seed: 0 });
  const engine = createNodeEngine({ threads });
  const training = await createAutoencoderTraining({ engine, objective, weights, size: { batch, height: side, width: side } });
  const generator = new TorchGenerator(0);
  const image = generator.rand([batch, 3, side, side], -1, 1);
  const seconds: number[] = [];
  for (let i = 0; i < steps; i++) {
    const start = performance.now();
    const noise = generator.randn([batch, 4, side / 8, side / 8]);
    await training.update([{ image, noise: [noise, noise] }], { learningRate: 1e-4 });
    seconds.push((performance.now() - start) / 1000);
  }
  const parameters = [...training.model().entries].reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
  await training[Symbol.asyncDispose]();
  await engine.dispose();
  return { seconds, parameters, peak_mb: process.resourceUsage().maxRSS / 1024 };
}

function peer(steps: number, threads: number): Measured {
  const { model } = pocketAutoencoder() as { model: { params: { embed_dim: number; ddconfig: object } } };
  const config = JSON.stringify({ ...model.params.ddconfig, embed_dim: model.params.embed_dim });
  const made = spawnSync('python3', [join(import.meta.dirname, 'peers/torch_autoencoder.py'), ...[threads, batch, side, steps].map(String), config], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(made.stderr);
  return JSON.parse(made.stdout) as Measured;
}

function ours(steps: number, threads: number): Measured {
  const made = spawnSync(process.execPath, ['--import', join(root, 'tools/typescript.mjs'), import.meta.filename, 'measure', String(steps), String(threads)], { encoding: 'utf8', cwd: root });
  if (made.status !== 0) throw new Error(made.stderr);
  return JSON.parse(made.stdout.trim().split('\n').at(-1) ?? '') as Measured;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const [first = '3', second, third] = process.argv.slice(2);
if (first === 'measure') {
  console.log(JSON.stringify(await measure(Number(second), Number(third))));
} else {
  const [rounds, steps, threads] = [Number(first), Number(second ?? 6), Number(third ?? 2)];
  const measured: Record<'ours' | 'torch', Measured[]> = { ours: [], torch: [] };
  for (let round = 0; round < rounds; round++) {
    measured.ours.push(ours(steps, threads));
    measured.torch.push(peer(steps, threads));
  }
  // The first two steps warm up: memory is laid out, kernels are made.
  const summary = (runs: readonly Measured[]) => {
    const step = median(runs.flatMap(({ seconds }) => seconds.slice(2)));
    return { step_s: Number(step.toFixed(3)), images_per_s: Number((batch / step).toFixed(2)), peak_mb: Math.round(Math.max(...runs.map(({ peak_mb }) => peak_mb))), parameters: runs[0]?.parameters };
  };
  const [a, b] = [summary(measured.ours), summary(measured.torch)];
  console.log(JSON.stringify({ what: `pocket autoencoder, training step, batch ${batch}, ${side} x ${side}, float32, ${threads} threads`, 'stable-diffusion-ts': a, PyTorch: b, speed_ratio: Number((b.step_s / a.step_s).toFixed(3)), memory_ratio: Number((a.peak_mb / b.peak_mb).toFixed(3)) }, null, 1));
}
